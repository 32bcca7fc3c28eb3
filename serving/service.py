"""The one service: BentoML around the REST routes of tiltyard.api, for whatever packages it is given."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import bentoml

from tiltyard.api import application, install
from tiltyard.served import Served, find

app = application()


def packages() -> list[Path]:
    """Give the package folders: those named in TILTYARD_PACKAGES, else what lies beside this file."""
    named = os.environ.get("TILTYARD_PACKAGES")
    if named:
        return [Path(folder) for folder in named.split(os.pathsep)]
    return find(Path(__file__).parent)


@bentoml.service(
    name="tiltyard",
    workers=int(os.environ.get("TILTYARD_WORKERS", "1")),
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},  # /metrics counts requests; a line each would cost more than the model
    envs=[
        {"name": "BENTOML_DO_NOT_TRACK", "value": "True"},
        {"name": "OTEL_SDK_DISABLED", "value": "true"},  # a tenth of each request's time, even without an exporter
    ],
)
@bentoml.asgi_app(app)
class Tiltyard:
    """Champions over REST: POST /v1/models/TASK:predict."""

    def __init__(self) -> None:
        """Load and warm every model before the worker takes its first request."""
        install(app, [Served.load(folder) for folder in packages()])
        gc.collect()
        gc.freeze()  # the models stay for good: the collector need not look at them
        gc.set_threshold(50_000, 50, 50)
