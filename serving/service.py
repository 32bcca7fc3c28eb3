"""BentoML service: serves the REST app of tiltyard.serving.http.app, for the packages of the Bento."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import bentoml
import uvicorn
import uvicorn.config
from starlette.types import ASGIApp, Receive, Scope, Send


def unpacked(wheel: Path) -> Path:
    """Unpack a wheel once into a folder beside it, since Python caches no bytecode of archives; return the folder.

    Return the wheel itself if the folder cannot be written.
    """
    folder = wheel.with_suffix("")
    if not folder.is_dir():
        with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir=wheel.parent) as half:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(Path(half, folder.name))
            Path(half, folder.name).rename(folder)
    return folder if folder.is_dir() else wheel


# A Bento holds the code that it was packaged with as a wheel, which BentoML installs when it builds a container image.
for path in Path(__file__).parent.glob("wheels/tiltyard-*.whl"):
    installed = f"{path.name.removesuffix('-py3-none-any.whl')}.dist-info"
    if not any(Path(place, installed).is_dir() for place in sys.path):
        sys.path.insert(0, str(unpacked(path)))

from tiltyard.serving.http.app import create_app
from tiltyard.serving.http.fast_protocol import FastPathProtocol
from tiltyard.serving.http.health import MONITORING_PATHS
from tiltyard.serving.http.limits import Limits
from tiltyard.serving.http.listening import DuplicatingServer
from tiltyard.serving.http.startup import end, start

limits = Limits.from_environment()
app = create_app(limits)
# BentoML runs uvicorn with http="auto", which looks up the protocol class in this table.
protocols: dict[str, Any] = uvicorn.config.HTTP_PROTOCOLS
protocols["auto"] = partial(FastPathProtocol, app)

workers = int(os.environ.get("TILTYARD_WORKERS", "1"))
if workers == 1:
    # BentoML passes the listening socket to uvicorn.Server, which it looks up after it has loaded this file.
    uvicorn.Server = DuplicatingServer  # type: ignore[misc]

image = bentoml.images.Image().build_include("wheels")  # before it installs what the Bento's requirements name
image.commands.clear()  # of BentoML, which adds them once more when it builds


class BypassMiddleware:
    """Sends requests directly to the app: BentoML's middleware would time, trace and count them a second time."""

    def __init__(self, app: ASGIApp) -> None:
        self.bento = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call BentoML for health checks, metrics and the lifespan, and the app for all other requests."""
        ours = scope["type"] == "http" and scope["path"] not in MONITORING_PATHS
        await (app if ours else self.bento)(scope, receive, send)


class InstallBypassMiddleware:
    """Puts BypassMiddleware before all of BentoML's middleware when the service starts."""

    def __init__(self, app: ASGIApp) -> None:
        self.bento = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Install the bypass at startup; pass on everything else."""
        if scope["type"] == "lifespan":
            scope["app"].middleware_stack = BypassMiddleware(scope["app"].middleware_stack)
        await self.bento(scope, receive, send)


@bentoml.service(
    name="tiltyard",
    image=image,
    workers=workers,
    traffic={"timeout": limits.seconds + 5},  # longer than the timeout of middleware.py, which responds first
    logging={"access": {"enabled": False}},  # /metrics counts requests; logging each takes longer than a prediction
    envs=[
        {"name": "BENTOML_DO_NOT_TRACK", "value": "True"},
        {"name": "OTEL_SDK_DISABLED", "value": "true"},
    ],
)
@bentoml.asgi_app(app)
class Tiltyard:
    """Champions over REST: POST /v1/models/TASK:predict."""

    def __init__(self) -> None:
        """Load the models; BentoML creates the service before it is ready."""
        start(app, Path(__file__).parent)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def leave(self) -> None:
        """End the compute processes and export the remaining spans."""
        end(app)


Tiltyard.add_asgi_middleware(InstallBypassMiddleware)  # type: ignore[attr-defined] # the decorator made it a bentoml.Service
