"""Peer for the serving benchmark: Starlette, msgspec and the ONNX session, without any check."""

from __future__ import annotations

import msgspec
from session import open_sessions, run_model
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

models = open_sessions()


async def predict(request: Request) -> Response:
    """Predict encoded features."""
    instances = msgspec.json.decode(await request.body())["instances"]
    response = {"predictions": run_model(models[request.path_params["name"]], instances)}
    return Response(msgspec.json.encode(response), media_type="application/json")


async def ready(_: Request) -> Response:
    """Return that the service is ready."""
    return Response("\n")


app = Starlette(routes=[Route("/predict/{name}", predict, methods=["POST"]), Route("/readyz", ready)])
