"""The REST routes of TensorFlow Serving's and KServe V1's convention."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from tiltyard import sheet
from tiltyard.body import instances
from tiltyard.route import METHODS, answered, encoder, json, only, served, versions
from tiltyard.served import Served


def routes() -> list[Route]:
    """A model by its name, or by its name and version."""
    found = [Route("/v1/models", only("GET", _models), methods=METHODS)]
    for model in ("/v1/models/{name}/versions/{version}", "/v1/models/{name}"):
        found += [
            Route(f"{model}:predict", only("POST", _predict), methods=METHODS),
            Route(f"{model}/schema", only("GET", _schema), methods=METHODS),
            Route(model, only("GET", _model), methods=METHODS),
        ]
    return found


async def _predict(request: Request) -> Response:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return json(await answered(request, lambda model, body: _answer(model, body, kind, request.scope)))


def _answer(model: Served, body: bytes, kind: str, scope: Scope) -> bytes:
    """Answer a table as what its type says; anything else is JSON, since plain `curl -d` sends another type."""
    asked = sheet.instances(model.predictor.encoder, body, kind) if kind in sheet.KINDS else instances(body)
    predictions = model.predict(asked)
    scope["instances"] = len(predictions)
    return encoder.encode({"predictions": predictions, "model": model.task, "version": model.version})


async def _models(request: Request) -> Response:
    return json(encoder.encode({"models": sorted(request.app.state.models)}))


async def _model(request: Request) -> Response:
    """Say what TensorFlow Serving and KServe each say about a model, and how good it is."""
    schema = served(request).schema
    status = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    statuses = [{"version": version, **status} for version in versions(request)]
    facts = {key: schema[key] for key in ("title", "problem", "version", "metrics")}
    name = {"name": schema["task"], "ready": True, "state": "AVAILABLE"}
    return json(encoder.encode({**name, **facts, "model_version_status": statuses}))


async def _schema(request: Request) -> Response:
    return json(encoder.encode(served(request).schema))
