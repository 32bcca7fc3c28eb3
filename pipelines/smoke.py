"""Smoke run (`tiltyard run --smoke`): the pipeline and the service on few rows, in a temporary folder."""

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
from tiltyard.evaluation.evaluated import read_evaluated
from tiltyard.gate import judge
from tiltyard.preparation import prepare
from tiltyard.report import report
from tiltyard.serving.packaging import smoke_test
from tiltyard.serving.packaging.package import write
from tiltyard.serving.serve import environment, fixed_packages
from tiltyard.serving.variables import SERVER
from tiltyard.training import train
from tiltyard.validation import validate
from tiltyard.workspace import Workspace

SMOKE_ROWS = 400
MIN_WINDOWS = 20  # a series needs so many windows, so that rows are left between the parts of the split


def run(workspace: Workspace, names: list[str], ready: Callable[[], None] = lambda: None) -> list[TaskOutcome]:
    """Return a row for each task; if one fails, the others go on. It runs without Prefect and DVC, to be fast."""
    names = base_tasks.in_training_order(workspace, names)
    ready()
    with (
        tempfile.TemporaryDirectory() as root,
        RunProgress(Workspace(Path(root)), names, ("pipeline", "serve")) as display,
    ):
        target = display.workspace
        rows = []
        for name in names:
            if error := base_tasks.find_error(workspace, name):
                rows.append(TaskOutcome(name))
                rows[-1].fail("task file", error)
                display.fail(name, "task file", rows[-1].error)
                continue
            task = loader.load(workspace, name)
            row, started = TaskOutcome(task.name, task.problem, task.gate.metric), time.monotonic()
            rows.append(row)
            display.begin(row.task, "pipeline")
            try:
                report = run_task(workspace, task, target)
                row.version, row.value = report["version"], report["metrics"][row.metric]
                row.baseline = report["baseline"][row.metric]
            except Exception as error:  # noqa: BLE001 - whatever stops this task must not stop the others
                row.fail("pipeline", error)
                display.fail(row.task, "pipeline", row.error)
            row.seconds = time.monotonic() - started
            if row.ok:
                display.end(row.task, "pipeline", "done")
        _check_all(target, [row for row in rows if row.ok], display)
    return rows


def run_task(workspace: Workspace, task: Task, target: Workspace) -> dict[str, Any]:
    """Run a small version of a task from source to verdict in the project `target`; return its evaluation."""
    small = shrink_task(task)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns about many models in one process
    with files.atomic_folder(target.raw(task.name)) as folder:
        small.source.fetch(folder, workspace)
    validate.validate(target, small)
    prepare.prepare(target, small)
    train.train(target, small)
    told = evaluate.evaluate(target, small)
    judge.judge(target, small)
    write(target, small, target.package(task.name, told["version"]), read_evaluated(target, small))
    report.report(target, [small])
    return told


def shrink_task(task: Task) -> Task:
    """Return the task with few rows, one epoch and a short training."""
    window = max(getattr(column, "window", 0) for column in task.columns.values())
    limits = {"rows": max(SMOKE_ROWS, MIN_WINDOWS * (window + task.target.horizon))}
    source = task.source.model_copy(update=limits if "rows" in type(task.source).model_fields else {})
    train = {
        "epochs": 1,
        "batch_size": min(task.train.batch_size, SMOKE_ROWS // 10),
        "patience": None,
        "backend": "tensorflow",  # one process trains all tasks, and loads one backend
        "then": None,
        "schedule": task.train.schedule.model_copy(update={"warmup": 0}),  # the warm-up would take the whole training
    }
    changes = {
        "source": source,
        "rows": (1, task.rows[1]),
        "split": task.split.model_copy(update=limits),
        "train": task.train.model_copy(update=train),
    }
    return task.model_copy(update=changes)


def _check_all(target: Workspace, rows: list[TaskOutcome], display: RunProgress) -> None:
    """Serve all tasks that succeeded and check the predictions; an error counts for each of them."""
    for row in rows:
        display.begin(row.task, "serve")
    try:
        check_service(target, {row.task: row.version for row in rows} if rows else {})
    except TiltyardError as error:
        for row in rows:
            row.fail("serve", error)
            display.fail(row.task, "serve", row.error)
        return
    for row in rows:
        row.verdict = "ok"
        display.end(row.task, "serve", "answered")


def check_service(workspace: Workspace, versions: dict[str, str]) -> dict[str, float]:
    """Serve all packages at once and replay their golden rows over REST; return the largest difference of each."""
    folders = {name: workspace.package(name, version) for name, version in versions.items()}
    home = workspace.state("serve", "smoke")
    with smoke_test.running(SERVER, environment(fixed_packages(folders), home), home) as server:
        return {
            name: smoke_test.replay(server, name, folder.name, files.read_json(folder / "golden.json"))
            for name, folder in folders.items()
        }
