"""The road in small: tasks on few rows, one after the other in a throwaway folder, then all behind one service."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.run_progress import RunProgress
from pipelines.task_outcome import TaskOutcome
from tiltyard import files
from tiltyard.config import base_tasks, loader
from tiltyard.config.task import Task
from tiltyard.errors import TiltyardError
from tiltyard.evaluation import evaluate
from tiltyard.gate import judge
from tiltyard.preparation import prepare
from tiltyard.report import report
from tiltyard.serving.packaging import smoke_test
from tiltyard.serving.packaging.package import write
from tiltyard.serving.serve import ARGUMENTS, environment, fixed
from tiltyard.training import train
from tiltyard.validation import validate
from tiltyard.workspace import Workspace

ROWS = 400
LONG = 20  # windows of a series end to end: fewer, and nothing is left between the parts


def run(workspace: Workspace, names: list[str], ready: Callable[[], None] = lambda: None) -> list[TaskOutcome]:
    """Return a row a task; a task that fails leaves the others alone. No Prefect, no DVC: they would cost more."""
    names = base_tasks.in_training_order(workspace, names)
    ready()
    with tempfile.TemporaryDirectory() as root, RunProgress(Workspace(Path(root)), names, ("road", "serve")) as display:
        place = display.workspace
        rows = []
        for name in names:
            if error := base_tasks.find_error(workspace, name):
                rows.append(TaskOutcome(name))
                rows[-1].stop("task file", error)
                display.stop(name, "task file", rows[-1].error)
                continue
            task = loader.load(workspace, name)
            row, started = TaskOutcome(task.name, task.problem, task.gate.metric), time.monotonic()
            rows.append(row)
            display.begin(row.task, "road")
            try:
                report = smoke(workspace, task, place)
                row.version, row.value = report["version"], report["metrics"][row.metric]
                row.baseline = report["baseline"][row.metric]
            except Exception as error:  # noqa: BLE001 - whatever stops this task must not stop the others
                row.stop("road", error)
                display.stop(row.task, "road", row.error)
            row.seconds = time.monotonic() - started
            if row.ok:
                display.end(row.task, "road", "done")
        _serve(place, [row for row in rows if row.ok], display)
    return rows


def smoke(workspace: Workspace, task: Task, place: Workspace) -> dict[str, Any]:
    """Take a task from its source to the verdict, in the project `place`; give its report."""
    small = shrunk(task)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of many models in one process
    with files.replacing_folder(place.raw(task.name)) as folder:
        small.source.fetch(folder, workspace)
    validate.validate(place, small)
    prepare.prepare(place, small)
    train.train(place, small)
    told = evaluate.evaluate(place, small)
    judge.judge(place, small)
    write(place, small, place.package(task.name, told["version"]))
    report.report(place, [small])
    return told


def shrunk(task: Task) -> Task:
    """Return the same task with few rows, one epoch and nothing to wait for."""
    window = max(getattr(column, "window", 0) for column in task.columns.values())
    few = {"rows": max(ROWS, LONG * (window + task.target.horizon))}
    source = task.source.model_copy(update=few if "rows" in type(task.source).model_fields else {})
    train = {
        "epochs": 1,
        "batch_size": min(task.train.batch_size, ROWS // 10),
        "patience": None,
        "then": None,
        "schedule": task.train.schedule.model_copy(update={"warmup": 0}),  # it would be the whole training
    }
    changes = {
        "source": source,
        "rows": (1, task.rows[1]),
        "split": task.split.model_copy(update=few),
        "train": task.train.model_copy(update=train),
    }
    return task.model_copy(update=changes)


def _serve(place: Workspace, rows: list[TaskOutcome], display: RunProgress) -> None:
    """Ask the service of all that came so far; its failure is that of each."""
    for row in rows:
        display.begin(row.task, "serve")
    try:
        answered(place, {row.task: row.version for row in rows} if rows else {})
    except TiltyardError as error:
        for row in rows:
            row.stop("serve", error)
            display.stop(row.task, "serve", row.error)
        return
    for row in rows:
        row.verdict = "ok"
        display.end(row.task, "serve", "answered")


def answered(place: Workspace, versions: dict[str, str]) -> dict[str, float]:
    """Serve all packages at once, replay golden rows of each over REST; give the largest differences."""
    folders = {name: place.package(name, version) for name, version in versions.items()}
    home = place.state("serve", "smoke")
    with smoke_test.running(ARGUMENTS, environment(fixed(folders), home), home) as server:
        return {
            name: smoke_test.replay(server, name, folder.name, files.read_json(folder / "golden.json"))
            for name, folder in folders.items()
        }
