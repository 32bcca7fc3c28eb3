"""The one service: BentoML around the REST routes of tiltyard.api, for whatever packages it is given."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import bentoml

from tiltyard.api import application, install
from tiltyard.drift import Drift
from tiltyard.front import Limits
from tiltyard.keeper import Keeper
from tiltyard.meters import Meters
from tiltyard.recorder import Recorder
from tiltyard.served import Served, find

app = application(Limits.read())


def load() -> None:
    """Load what is named in TILTYARD_PACKAGES, or else the champions of a folder, and follow those from then on.

    The folder is TILTYARD_CHAMPIONS, or this one; without champions, as in a Bento, it is all packages of this one.
    """
    named, here = os.environ.get("TILTYARD_PACKAGES", ""), Path(__file__).parent
    root, tasks = Path(os.environ.get("TILTYARD_CHAMPIONS", here)), os.environ.get("TILTYARD_TASKS", "").split()
    if named or not (root / "champions").is_dir():
        folders = map(Path, named.split(os.pathsep)) if named else find(here)
        install(app, [Served.load(folder) for folder in folders])
    else:
        Keeper(app, root, tasks).start()


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
        load()
        meters = app.state.meters = Meters(log=bool(os.environ.get("TILTYARD_LOG")))
        if recorder := Recorder.read():
            recorder.counted = meters.told
            drift = Drift(meters.drifted)
            recorder.seen.append(drift.see)
            drift.start()
            app.state.recorder = recorder
        gc.collect()
        gc.freeze()  # what is there now stays: the collector need not look at it
        gc.set_threshold(50_000, 50, 50)
