"""The one service as BentoML knows it: the REST routes of tiltyard.api, for whatever packages it is given."""

from __future__ import annotations

import os
from pathlib import Path

import bentoml

from tiltyard.api import application
from tiltyard.front import Limits
from tiltyard.service import start

app = application(Limits.read())


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
        """Be ready when BentoML says so."""
        start(app, Path(__file__).parent)
