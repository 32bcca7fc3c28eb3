"""Startup and shutdown of the service: models, metrics, child processes and recording, by environment variables."""

from __future__ import annotations

import gc
import os
from pathlib import Path

from starlette.applications import Starlette

from tiltyard.serving.http.app import install
from tiltyard.serving.http.champion_watcher import ChampionWatcher
from tiltyard.serving.http.last_good import LastGood
from tiltyard.serving.http.prometheus import RequestMetrics
from tiltyard.serving.http.tracing import Tracer
from tiltyard.serving.model.loaded_model import LoadedModel, find_packages
from tiltyard.serving.recording.recorder import Recorder


def start(app: Starlette, working_folder: Path) -> None:
    """Load and warm up every model, start metrics, child processes and recording."""
    _load(app, working_folder)
    log, watched = bool(os.environ.get("TILTYARD_LOG")), app.state.watcher is not None
    metrics = app.state.metrics = RequestMetrics(log=log, tracer=Tracer.from_environment(), watched=watched)
    app.state.admission.metrics = metrics
    app.state.pool.start()
    app.state.recorder = recorder = _recorder(metrics, app.state.admission.limits.seconds)
    if recorder and (recorder.share or app.state.splits):
        recorder.sender.start()
    gc.collect()
    gc.freeze()  # the models stay in memory: the collector need not scan them
    gc.set_threshold(50_000, 10, 10)


def end(app: Starlette) -> None:
    """Write what is to be recorded, end the child processes, and export the remaining spans."""
    if app.state.recorder:
        app.state.recorder.sender.close()
    app.state.pool.close()
    if app.state.metrics and app.state.metrics.tracer:
        app.state.metrics.tracer.shutdown()


def _recorder(metrics: RequestMetrics, seconds: float) -> Recorder | None:
    """Return the recorder that the environment describes, connected to the metrics."""
    recorder = Recorder.from_environment(seconds=seconds)
    if recorder:
        recorder.sender.on_outcome, recorder.sender.on_drift = metrics.count_recorded, metrics.set_drift
    return recorder


def _load(app: Starlette, working_folder: Path) -> None:
    """Load the packages of TILTYARD_PACKAGES, or else the champions of a folder, and watch those for changes.

    The folder is TILTYARD_CHAMPIONS, or `working_folder`; if that has no champions, as in a Bento, load all packages
    of `working_folder`.
    """
    packages, root = os.environ.get("TILTYARD_PACKAGES", ""), os.environ.get("TILTYARD_CHAMPIONS", "")
    if packages or not (root or (working_folder / "champions").is_dir()):
        folders = map(Path, packages.split(os.pathsep)) if packages else find_packages(working_folder)
        install(app, [LoadedModel.load(folder) for folder in folders])
    else:
        watched_folder, tasks = Path(root or working_folder), os.environ.get("TILTYARD_TASKS", "").split()
        ChampionWatcher(app, watched_folder, tasks, LastGood.from_environment(watched_folder)).start()
