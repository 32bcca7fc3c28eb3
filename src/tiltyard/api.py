"""The REST routes: TensorFlow Serving's and KServe V1's convention, and one shape for every refusal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import anyio
import anyio.to_thread
import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tiltyard.body import instances, read
from tiltyard.errors import RequestError
from tiltyard.openapi import openapi
from tiltyard.served import Served

Handler = Callable[[Request], Awaitable[Response]]

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
LARGE = 16_384  # bytes of a body from which parsing and predicting would hold up the other clients
LONGEST = 300  # characters of a message that may quote what was sent

# BentoML's own page would do, but it calls a tracker; the scripts are those that come with BentoML.
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Tiltyard</title>
<link rel="stylesheet" href="./static_content/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="./static_content/swagger-ui-bundle.js"></script>
<script src="./static_content/swagger-ui-standalone-preset.js"></script>
<script src="./static_content/swagger-initializer.js"></script></body></html>
"""

encoder = msgspec.json.Encoder()


def application() -> Starlette:
    """Give the app; it knows no model until `install` is called."""
    routes = [
        Route("/v1/models/{name}:predict", _only("POST", _predict), methods=METHODS),
        Route("/v1/models/{name}/schema", _only("GET", _schema), methods=METHODS),
        Route("/v1/models/{name}", _only("GET", _model), methods=METHODS),
        Route("/v1/models", _only("GET", _models), methods=METHODS),
        Route("/v1/openapi.json", _only("GET", _openapi), methods=METHODS),
        Route("/", _only("GET", _page), methods=METHODS),
        Route("/docs.json", _only("GET", _openapi), methods=METHODS),  # what the page reads
        Route("/v1/{rest:path}", _nowhere, methods=METHODS),
    ]
    handlers: Any = {RequestError: _refuse, HTTPException: _refuse_http, ClientDisconnect: _gone, Exception: _fail}
    app = Starlette(routes=routes, exception_handlers=handlers)
    install(app, [])
    return app


def install(app: Starlette, models: Iterable[Served]) -> None:
    """Let the app answer for these models."""
    app.state.models = {served.task: served for served in models}
    app.state.openapi = encoder.encode(openapi([served.schema for served in app.state.models.values()]))
    app.state.turn = anyio.CapacityLimiter(1)  # large bodies wait for each other, small ones for none


async def _predict(request: Request) -> Response:
    served = _served(request)
    body = await read(request, served.max_body_bytes)
    if len(body) < LARGE:
        return _json(_answer(served, body))
    return _json(await anyio.to_thread.run_sync(_answer, served, body, limiter=request.app.state.turn))


def _answer(served: Served, body: bytes) -> bytes:
    predictions = served.predict(instances(body))
    return encoder.encode({"predictions": predictions, "model": served.task, "version": served.schema["version"]})


async def _models(request: Request) -> Response:
    return _json(encoder.encode({"models": sorted(request.app.state.models)}))


async def _model(request: Request) -> Response:
    """Say what TensorFlow Serving and KServe each say about a model, and how good it is."""
    schema = _served(request).schema
    status = {"version": schema["version"], "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    facts = {key: schema[key] for key in ("title", "problem", "version", "metrics")}
    name = {"name": schema["task"], "ready": True, "state": "AVAILABLE"}
    return _json(encoder.encode({**name, **facts, "model_version_status": [status]}))


async def _schema(request: Request) -> Response:
    return _json(encoder.encode(_served(request).schema))


async def _openapi(request: Request) -> Response:
    return _json(request.app.state.openapi)


async def _page(_: Request) -> Response:
    return Response(PAGE, media_type="text/html")


async def _nowhere(_: Request) -> Response:
    raise RequestError("unknown_path", "expected a path of /v1/openapi.json", status=404)


def _served(request: Request) -> Served:
    models: dict[str, Served] = request.app.state.models
    name = request.path_params["name"]
    if name not in models:
        known = ", ".join(sorted(models)) or "none"
        raise RequestError("unknown_model", f"expected one of {known}; received {name!r}", "model", status=404)
    return models[name]


def _only(method: str, handler: Handler) -> Handler:
    """Refuse other methods here, since the catch-all route would turn a wrong method into a wrong path."""
    allowed = {"GET": {"GET", "HEAD"}, "POST": {"POST"}}[method]

    async def checked(request: Request) -> Response:
        if request.method not in allowed:
            raise HTTPException(405, f"expected {method}; received {request.method}", {"Allow": ", ".join(allowed)})
        return await handler(request)

    return checked


def _json(content: bytes, status: int = 200) -> Response:
    return Response(content, status, media_type="application/json")


async def _refuse(_: Request, error: RequestError) -> Response:
    return _json(encoder.encode(_short(error)), error.status)


async def _refuse_http(request: Request, error: HTTPException) -> Response:
    """Starlette's own refusals in our shape."""
    code = {404: "unknown_path", 405: "wrong_method"}.get(error.status_code, "refused")
    response = await _refuse(request, RequestError(code, error.detail, status=error.status_code))
    response.headers.update(error.headers or {})
    return response


async def _gone(_: Request, error: ClientDisconnect) -> Response:  # noqa: ARG001 - Starlette passes it
    """Nobody reads this: the client left in the middle of its request."""
    return Response(status_code=400)


async def _fail(_: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette passes it on to the log
    """Answer for a defect of ours: the log gets the traceback, the client the one shape."""
    return _json(encoder.encode(RequestError("internal", "the service failed; its log says why").body()), 500)


def _short(error: RequestError) -> dict[str, Any]:
    """Quote only the beginning of what was sent, and nothing that is no valid text."""
    body = error.body()["error"]
    return {"error": {key: text[:LONGEST].encode(errors="replace").decode() for key, text in body.items()}}
