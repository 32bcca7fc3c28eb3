"""The service as BentoML knows it: the REST routes of serving.http.app, for whatever packages it is given."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import bentoml
import uvicorn.config
from starlette.types import ASGIApp, Receive, Scope, Send

from tiltyard.serving.http.app import create_app
from tiltyard.serving.http.fast_protocol import FastPathProtocol
from tiltyard.serving.http.health import MONITORING_PATHS
from tiltyard.serving.http.limits import Limits
from tiltyard.serving.http.startup import end, start

limits = Limits.from_environment()
app = create_app(limits)
# BentoML lets uvicorn choose what looks after connections, which it does by this table.
protocols: dict[str, Any] = uvicorn.config.HTTP_PROTOCOLS
protocols["auto"] = partial(FastPathProtocol, app)


class Past:
    """Takes requests past BentoML's layers, which time, trace and count what `middleware.py` does already."""

    def __init__(self, app: ASGIApp) -> None:  # Starlette's word
        self.bento = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let BentoML answer those who watch it, and run its own life."""
        ours = scope["type"] == "http" and scope["path"] not in MONITORING_PATHS
        await (app if ours else self.bento)(scope, receive, send)


class Door:
    """A layer inside BentoML's own: when the service starts, it puts `Past` before them all, and is nothing then."""

    def __init__(self, app: ASGIApp) -> None:  # Starlette's word
        self.bento = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for the start."""
        if scope["type"] == "lifespan":
            scope["app"].middleware_stack = Past(scope["app"].middleware_stack)
        await self.bento(scope, receive, send)


@bentoml.service(
    name="tiltyard",
    workers=int(os.environ.get("TILTYARD_WORKERS", "1")),
    traffic={
        "timeout": limits.seconds + 5
    },  # middleware.py has one; this one keeps a timer of each request for so long
    logging={"access": {"enabled": False}},  # /metrics counts requests; a line each would cost more than the model
    envs=[
        {"name": "BENTOML_DO_NOT_TRACK", "value": "True"},
        {"name": "OTEL_SDK_DISABLED", "value": "true"},
    ],
)
@bentoml.asgi_app(app)
class Tiltyard:
    """Champions over REST: POST /v1/models/TASK:predict."""

    def __init__(self) -> None:
        """Be ready when BentoML says so."""
        start(app, Path(__file__).parent)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def leave(self) -> None:
        """Send what is still to be sent of spans."""
        end(app)


Tiltyard.add_asgi_middleware(Door)  # type: ignore[attr-defined] # it is a bentoml.Service by now
