"""The REST application: the routes of all protocols, and one shape for every refusal."""

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

WARM_VERSIONS = 2  # versions of a task that are warm: the champion, and the one before it


def create_app(limits: Limits | None = None, life: Lifespan[Starlette] | None = None) -> Starlette:
    """Return the app; it knows no model until `install` is called."""
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
    front = [Middleware(RequestMiddleware, admission), Middleware(FastPathMiddleware)]
    app = Starlette(routes=routes, exception_handlers=handlers, middleware=front, lifespan=partial(_lifespan, life))
    app.router.redirect_slashes = False  # it would redirect to whatever host a client names
    app.state.openapi = None, b""  # of which models the document is, and the document
    app.state.pool, app.state.fast_path = (
        ComputePool(admission.limits.seconds, admission.limits.concurrency),
        not admission.limits.routes_only,
    )
    app.state.metrics = app.state.recorder = app.state.watcher = None
    app.state.admission, app.state.locked = admission, bool(admission.limits.keys)
    install(app, [])
    return app


@contextlib.asynccontextmanager
async def _lifespan(life: Lifespan[Starlette] | None, app: Starlette) -> AsyncIterator[None]:
    """End the processes beside this one with the app."""
    async with life(app) if life else contextlib.nullcontext():
        try:
            yield
        finally:
            app.state.pool.close()


def install(app: Starlette, models: Iterable[LoadedModel]) -> None:
    """Let the app answer for these models."""
    app.state.models = {}
    app.state.versions = {}
    app.state.splits = {}
    app.state.disk_limiter = anyio.CapacityLimiter(1)  # what is written to the disk
    for served in models:
        replace_champion(app, served)


def replace_champion(app: Starlette, served: LoadedModel) -> None:
    """Let a model answer in its task's place from the next request on; the one before it answers by its version.

    Whoever reads the state finds what was there before or what is there now: each dictionary is made anew and put in
    place whole, so this may run in any thread.
    """
    before = app.state.versions.get(served.task, {})
    kept = {served.version: served, **{version: one for version, one in before.items() if version != served.version}}
    app.state.versions = {**app.state.versions, served.task: dict([*kept.items()][:WARM_VERSIONS])}
    app.state.models = {**app.state.models, served.task: served}


async def _openapi(request: Request) -> Response:
    """Write the document once for the models that are warm: it takes milliseconds for many of them."""
    state = request.app.state
    of, content = state.openapi
    if of is not state.versions:
        of = state.versions
        content = encoder.encode(openapi(of, locked=state.locked))
        state.openapi = of, content
    return json_response(content)


async def _unknown_path(_: Request) -> Response:
    raise RequestError("unknown_path", "expected a path of /v1/openapi.json", status=404)


async def _on_request_error(request: Request, error: RequestError) -> Response:
    return error_response(request.url.path, error)


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    """Starlette's own refusals in our shape."""
    code = {404: "unknown_path", 405: "wrong_method"}.get(error.status_code, "refused")
    response = await _on_request_error(request, RequestError(code, error.detail, status=error.status_code))
    response.headers.update(error.headers or {})
    return response


async def _on_disconnect(_: Request, error: ClientDisconnect) -> Response:  # noqa: ARG001 - Starlette passes it
    """Nobody reads this: the client left in the middle of its request."""
    return Response(status_code=400)
