"""The REST application: the routes of all protocols, and one format for all errors."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Lifespan

from tiltyard.errors import RequestError
from tiltyard.serving.compute.pool import ComputePool
from tiltyard.serving.http import health, page, routes_v1, routes_v2
from tiltyard.serving.http.admission import AdmissionControl
from tiltyard.serving.http.fast_middleware import FastPathMiddleware
from tiltyard.serving.http.limits import Limits
from tiltyard.serving.http.middleware import RequestMiddleware
from tiltyard.serving.http.openapi_v1 import openapi
from tiltyard.serving.http.routing import METHODS, allow, encoder, error_response, json_response
from tiltyard.serving.model.loaded_model import LoadedModel

WARM_VERSIONS = 2  # of a task that stay loaded: the champion and the previous one


def create_app(limits: Limits | None = None, lifespan: Lifespan[Starlette] | None = None) -> Starlette:
    """Return the app, without models until `install` is called."""
    routes = [
        *routes_v1.routes(),
        *routes_v2.routes(),
        *health.routes(),
        Route("/v1/openapi.json", allow("GET", _openapi), methods=METHODS),
        *page.routes(),
        Route("/v1/{rest:path}", _unknown_path, methods=METHODS),
        Route("/v2/{rest:path}", _unknown_path, methods=METHODS),
    ]
    handlers: Any = {RequestError: _on_request_error, HTTPException: _on_http_error, ClientDisconnect: _on_disconnect}
    admission = AdmissionControl(limits or Limits())
    middleware = [Middleware(RequestMiddleware, admission), Middleware(FastPathMiddleware)]
    app = Starlette(
        routes=routes, exception_handlers=handlers, middleware=middleware, lifespan=partial(_lifespan, lifespan)
    )
    app.router.redirect_slashes = False  # it would redirect to any host that a client names
    app.state.openapi = None, b""  # the models that the document describes, and the document
    app.state.pool, app.state.fast_path = (
        ComputePool(admission.limits.seconds, admission.limits.concurrency),
        not admission.limits.routes_only,
    )
    app.state.metrics = app.state.recorder = app.state.watcher = None
    app.state.admission, app.state.locked = admission, bool(admission.limits.keys)
    install(app, [])
    return app


@contextlib.asynccontextmanager
async def _lifespan(lifespan: Lifespan[Starlette] | None, app: Starlette) -> AsyncIterator[None]:
    """End the compute processes when the app ends."""
    async with lifespan(app) if lifespan else contextlib.nullcontext():
        try:
            yield
        finally:
            app.state.pool.close()


def install(app: Starlette, models: Iterable[LoadedModel]) -> None:
    """Serve these models, and no others."""
    app.state.models = {}
    app.state.versions = {}
    app.state.splits = {}
    app.state.disk_limiter = anyio.CapacityLimiter(1)  # one feedback request writes to the disk at a time
    for model in models:
        replace_champion(app, model)


def replace_champion(app: Starlette, model: LoadedModel) -> None:
    """Serve a model as the champion of its task from the next request on; the previous one stays available by version.

    Thread-safe: each dictionary is copied and replaced, so readers see the state before or after.
    """
    previous = app.state.versions.get(model.task, {})
    models = {
        model.version: model,
        **{version: old_model for version, old_model in previous.items() if version != model.version},
    }
    app.state.versions = {**app.state.versions, model.task: dict([*models.items()][:WARM_VERSIONS])}
    app.state.models = {**app.state.models, model.task: model}


async def _openapi(request: Request) -> Response:
    """Return the OpenAPI document, cached for the loaded models, since it takes milliseconds for many of them."""
    state = request.app.state
    versions, content = state.openapi
    if versions is not state.versions:
        versions = state.versions
        content = encoder.encode(openapi(versions, locked=state.locked))
        state.openapi = versions, content
    return json_response(content)


async def _unknown_path(_: Request) -> Response:
    raise RequestError("unknown_path", "expected a path of /v1/openapi.json", status=404)


async def _on_request_error(request: Request, error: RequestError) -> Response:
    return error_response(request.url.path, error)


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    """Return an error of Starlette in the service's error format."""
    code = {404: "unknown_path", 405: "wrong_method"}.get(error.status_code, "refused")
    response = await _on_request_error(request, RequestError(code, error.detail, status=error.status_code))
    response.headers.update(error.headers or {})
    return response


async def _on_disconnect(_: Request, error: ClientDisconnect) -> Response:  # noqa: ARG001 - Starlette passes it
    """Return an empty response: the client has disconnected during its request."""
    return Response(status_code=400)
