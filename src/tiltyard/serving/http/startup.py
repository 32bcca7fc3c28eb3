"""The service: the routes over the models that its environment names, however it is started."""

from __future__ import annotations

import gc
import os
from pathlib import Path

from starlette.applications import Starlette

from tiltyard.serving.http.app import install
from tiltyard.serving.http.champion_watcher import ChampionWatcher
from tiltyard.serving.http.drift_gauges import DriftGauges
from tiltyard.serving.http.last_good import LastGood
from tiltyard.serving.http.prometheus import RequestMetrics
from tiltyard.serving.http.tracing import Tracer
from tiltyard.serving.model.loaded_model import LoadedModel, find
from tiltyard.serving.traffic.recorder import Recorder


def start(app: Starlette, here: Path) -> None:
    """Load and warm every model, so that the worker can take its first request."""
    _load(app, here)
    log, watched = bool(os.environ.get("TILTYARD_LOG")), app.state.keeper is not None
    meters = app.state.meters = RequestMetrics(log=log, tracer=Tracer.read(), watched=watched)
    app.state.guard.meters = meters
    app.state.pool.start()
    app.state.recorder = recorder = _recorder(meters)
    if recorder:
        recorder.ask = lambda model, question: app.state.pool.ask(model, question, "shadow", told=True).result()
    gc.collect()
    gc.freeze()  # what is there now stays: the collector need not look at it
    gc.set_threshold(50_000, 10, 10)


def end(app: Starlette) -> None:
    """Send what is still to be sent of spans, and end the processes beside this one."""
    app.state.pool.close()
    if app.state.meters and app.state.meters.tracer:
        app.state.meters.tracer.end()


def _recorder(meters: RequestMetrics) -> Recorder | None:
    """Record what the environment wants, and measure how far it lies from the training rows."""
    recorder = Recorder.read()
    if recorder:
        recorder.counted, drift = meters.told, DriftGauges(meters.drifted)
        recorder.seen.append(drift.see)
        drift.start()
    return recorder


def _load(app: Starlette, here: Path) -> None:
    """Load what is named in TILTYARD_PACKAGES, or else the champions of a folder, and follow those from then on.

    The folder is TILTYARD_CHAMPIONS, or `here`; without champions, as in a Bento, it is all packages of `here`.
    """
    named, root = os.environ.get("TILTYARD_PACKAGES", ""), os.environ.get("TILTYARD_CHAMPIONS", "")
    if named or not (root or (here / "champions").is_dir()):
        folders = map(Path, named.split(os.pathsep)) if named else find(here)
        install(app, [LoadedModel.load(folder) for folder in folders])
    else:
        place, tasks = Path(root or here), os.environ.get("TILTYARD_TASKS", "").split()
        ChampionWatcher(app, place, tasks, LastGood.read(place)).start()
