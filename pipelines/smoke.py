"""Smoke run (`tiltyard run --smoke`): the pipeline and the service on few rows, in a temporary folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiltyard import files
from tiltyard.config import base_tasks
from tiltyard.config.evaluate_section import Evaluate
from tiltyard.config.task import Task
from tiltyard.data import fetch
from tiltyard.data.sources.base import Source
from tiltyard.errors import TiltyardError
from tiltyard.pipelines import task_pool
from tiltyard.pipelines.fork_server import ForkServers
from tiltyard.pipelines.run_progress import RunProgress
from tiltyard.pipelines.task_outcome import TaskOutcome
from tiltyard.runtime import processes
from tiltyard.serving.packaging import smoke_test
from tiltyard.serving.serve import environment, fixed_packages
from tiltyard.serving.variables import SERVER
from tiltyard.workspace import Workspace

COMMAND = "from tiltyard.cli.main import main; main()"  # `tiltyard` may not be on the path
SMOKE_ROWS = 400
MANY_ROWS = 1_000_000  # more than the test rows
MIN_WINDOWS = 20  # a series needs so many windows, so that rows are left between the parts of the split


def run(workspace: Workspace, names: list[str], ready: Callable[[], None] = lambda: None) -> list[TaskOutcome]:
    """Return a row for each task; if one fails, the others go on. It runs without Prefect and DVC, to be fast."""
    names = base_tasks.in_training_order(workspace, names)
    ready()
    with (
        tempfile.TemporaryDirectory() as root,
        ForkServers("all", at_once=True),
        RunProgress(Workspace(Path(root)), names, ("pipeline", "serve"), task_pool.worker_count(names)) as display,
    ):
        rows = task_pool.run_tasks(workspace, names, display, lambda task: _run_task(workspace, task, display))
        _check_all(display.workspace, [row for row in rows if row.ok], display)
    return rows


def _run_task(workspace: Workspace, task: Task, display: RunProgress) -> TaskOutcome:
    """Run one task in a process of its own, so that several run at once and each gives its memory back."""
    row, started = TaskOutcome(task.name, task.problem, task.gate.metric), time.monotonic()
    display.begin(row.task, "pipeline")
    try:
        _run_process(workspace, task.name, display.workspace)
        report = files.read_json(display.workspace.out(task.name, "evaluate") / "report.json")
        row.version, row.value = report["version"], report["metrics"][row.metric]
        row.stand_in = report.get("stand_in", "")
        row.baseline = report["baseline"][row.metric]
    except Exception as error:  # noqa: BLE001 - whatever stops this task must not stop the others
        row.fail("pipeline", error)
        display.fail(row.task, "pipeline", row.error)
    row.seconds = time.monotonic() - started
    if row.ok:
        display.end(row.task, "pipeline", "done")
    return row


def _run_process(workspace: Workspace, name: str, target: Workspace) -> None:
    """Run `tiltyard smoke-task` like a stage; raise the error that it ended with."""
    command = [sys.executable, "-c", COMMAND, "smoke-task", name, str(target.root)]
    with processes.supervised(target, "smoke", name) as variables:
        environment = {**os.environ, **variables, "TILTYARD_ROOT": str(workspace.root)}
        if subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode:
            raise processes.stage_error(target, "smoke", name)


def run_task(workspace: Workspace, task: Task, target: Workspace) -> dict[str, Any]:
    """Run a small version of a task from source to verdict in the project `target`; return its evaluation."""
    from tiltyard.evaluation.evaluate import evaluate
    from tiltyard.evaluation.evaluated import read_evaluated
    from tiltyard.gate.judge import judge
    from tiltyard.preparation.prepare import prepare
    from tiltyard.report.report import report
    from tiltyard.serving.packaging.package import write
    from tiltyard.training.train import train
    from tiltyard.validation.validate import validate

    small = shrink_task(task)
    with files.atomic_folder(target.raw(task.name)) as folder:
        fetch.write_raw(small, folder, workspace)
    validate(target, small)
    prepare(target, small)
    if small.model.code_path:
        _copy_code(workspace, small.model.code_path, target)
    train(target, small)
    evaluation = evaluate(target, small)
    judge(target, small)
    write(target, small, target.package(task.name, evaluation["version"]), read_evaluated(target, small))
    report(target, [small])
    return evaluation


def _copy_code(workspace: Workspace, path: str, target: Workspace) -> None:
    """Copy the Python file that builds the layers; without it, training says what is missing."""
    name = path.rpartition(":")[0]
    if (source := workspace.root / name).is_file():
        (target.root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target.root / name)


def shrink_task(task: Task) -> Task:
    """Return the task with few rows, one epoch and a short training."""
    window = max(getattr(column, "window", 0) for column in task.columns.values())
    limits = {"rows": max(SMOKE_ROWS, MIN_WINDOWS * (window + task.target.horizon))}
    smaller = {**limits, "stand_in": True}  # its values mean nothing, so generated data will do if files are missing
    source = _updated(task.source, smaller)
    joins = {
        name: join.model_copy(update={"source": _updated(join.source, {"stand_in": True})})
        for name, join in task.joins.items()
    }
    train = {
        "epochs": 1,
        "batch_size": min(task.train.batch_size, SMOKE_ROWS // 20),  # of one digit of ten there are 28 training rows
        "patience": None,
        "backend": "tensorflow",  # which the process has loaded
        "then": None,
        "restarts": 0,
        "schedule": task.train.schedule.model_copy(update={"warmup": 0}),  # the warm-up would take the whole training
    }
    changes = {
        "source": source,
        "joins": joins,
        "rows": (1, task.rows[1]),
        "split": task.split.model_copy(update=limits),
        "train": task.train.model_copy(update=train),
        "evaluate": _shortened(task.evaluate),
        "ensemble": [member.shortened() for member in task.ensemble],
    }
    return task.model_copy(update=changes)


def _updated(source: Source, settings: dict[str, Any]) -> Source:
    """Return a source with other settings, as far as it has them."""
    known = type(source).model_fields
    return source.model_copy(update={key: value for key, value in settings.items() if key in known})


def _shortened(evaluate: Evaluate) -> Evaluate:
    """Return the evaluations with one further training, and few steps ahead."""
    walk = evaluate.walk_forward and evaluate.walk_forward.model_copy(update={"every": MANY_ROWS})
    return evaluate.model_copy(update={"walk_forward": walk, "rollout": evaluate.rollout and 2})


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
