"""Peer for the serving benchmark: Starlette, msgspec and the ONNX session, without any check."""

from __future__ import annotations

import msgspec
from session import answered, opened
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

models = opened()


async def predict(request: Request) -> Response:
    """Predict encoded features."""
    instances = msgspec.json.decode(await request.body())["instances"]
    answer = {"predictions": answered(models[request.path_params["name"]], instances)}
    return Response(msgspec.json.encode(answer), media_type="application/json")


async def ready(_: Request) -> Response:
    """Return that the service is ready."""
    return Response("\n")


app = Starlette(routes=[Route("/predict/{name}", predict, methods=["POST"]), Route("/readyz", ready)])
