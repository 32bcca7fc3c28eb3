"""The road: one Prefect flow that takes tasks from source to packaged champion, as many at once as there are cores."""

from __future__ import annotations

import contextlib
import contextvars
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.states import Completed, Failed

from pipelines import server, steps
from pipelines.run_progress import RunProgress
from pipelines.task_outcome import TaskOutcome
from tiltyard import files, processes, progress
from tiltyard.config import base_tasks, loader, task_list
from tiltyard.config.task import Task
from tiltyard.data import dvc
from tiltyard.errors import TaskError, TiltyardError
from tiltyard.gate.next_steps import next_steps
from tiltyard.workspace import Workspace

PATIENCE = 10.0  # seconds that an interrupt gives to steps which cannot be ended, such as a download


def run(workspace: Workspace, names: list[str], ready: Callable[[], None] = lambda: None) -> list[TaskOutcome]:
    """Take tasks down the road; every task file is read before anything runs.

    Prefect reads its settings when it is imported: call quiet.silence and server.running before importing this.
    """
    names = base_tasks.in_training_order(workspace, names)
    for name in names:
        if base_tasks.find_error(workspace, name):
            continue  # its row will say so
        task_list.add(workspace, name)  # a stage is made for it
    dvc.repair_lock_file(workspace)
    server.wait()
    ready()
    state: Any = road(str(workspace.root), names, return_state=True)
    rows: list[TaskOutcome] | BaseException = state.result(raise_on_failure=False)
    if isinstance(rows, BaseException):
        raise rows
    return rows


@flow(name="road", persist_result=False, validate_parameters=False)
def road(root: str, names: list[str]) -> Any:
    """Return a row a task; a task that fails leaves the others alone."""
    workspace = Workspace(Path(root))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(len(names), cores)
    with contextlib.chdir(root), RunProgress(workspace, names, tuple(steps.STEPS), workers) as display:
        with _pool(workers, display) as pool:  # in the folder to which each use of DVC goes
            # Prefect finds the flow that a task belongs to in the context, which threads do not inherit
            futures: dict[str, Future[TaskOutcome]] = {}
            for name in names:  # a base is begun before what waits for it
                if error := base_tasks.find_error(workspace, name):
                    futures[name] = pool.submit(_refused, name, display, error)
                    continue
                task = loader.load(workspace, name)
                base = futures.get(task.model.taken_up)
                futures[name] = pool.submit(contextvars.copy_context().run, _travel, workspace, task, display, base)
            rows = [future.result() for future in futures.values()]
        if any(row.ok for row in rows):
            display.tell("sending versions to the remote")
            rows += _push(root)
    failed = [row.task for row in rows if not row.ok]
    return Failed(message=f"stopped: {', '.join(failed)}", data=rows) if failed else Completed(data=rows)


def _refused(name: str, display: RunProgress, error: TaskError) -> TaskOutcome:
    """Return what is wrong with a task file that cannot be read; the other tasks go on."""
    row = TaskOutcome(name)
    row.stop("task file", error)
    display.stop(name, "task file", row.error)
    return row


@contextlib.contextmanager
def _pool(workers: int, display: RunProgress) -> Iterator[ThreadPoolExecutor]:
    """Make threads that begin nothing more after an interrupt, and whose stages end with it."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    except BaseException:
        display.stopping.set()
        display.tell("stopping")
        pool.shutdown(wait=False, cancel_futures=True)
        processes.end_all()
        display.wait_for_idle(PATIENCE)
        raise
    pool.shutdown()


def _travel(workspace: Workspace, task: Task, display: RunProgress, base: Future[TaskOutcome] | None) -> TaskOutcome:
    """Take one task as far as it comes, when its base has come as far as that does."""
    name = task.name
    if base:
        base.result()
    row, start = TaskOutcome(name), time.monotonic()
    progress.LISTENER.set(lambda text: display.note(name, text))
    try:
        with processes.alone(workspace, name):
            start = time.monotonic()
            _go(workspace, task, display, row)
    except TiltyardError as error:  # another process did not let go of it
        row.stop("fetch", error)
        display.stop(name, "fetch", row.error)
    row.seconds = time.monotonic() - start
    return row


def _go(workspace: Workspace, task: Task, display: RunProgress, row: TaskOutcome) -> None:
    """Take the steps one after the other, until one fails."""
    name, current = task.name, False
    for step in steps.STEPS:
        if display.stopping.is_set():
            break
        display.begin(name, step)
        try:
            how = _step(workspace, name, step, current=current)
            _note(workspace, row, step, how)
            if step == "fetch":
                current = not base_tasks.is_stale(workspace, task) and dvc.is_current(workspace, name)
        except Exception as error:  # noqa: BLE001 - whatever stops this task must not stop the others
            row.stop(step, error)
            display.stop(name, step, row.error)
            break
        display.end(name, step, how if isinstance(how, str) else row.verdict)


def _step(workspace: Workspace, name: str, step: str, *, current: bool) -> Any:
    """Run one Prefect task; give what it gives, or raise what it raised."""
    more = {"current": current} if step in dvc.STAGES else {}
    state: Any = steps.STEPS[step](str(workspace.root), name, **more, return_state=True)
    return state.result()


def _note(workspace: Workspace, row: TaskOutcome, step: str, how: Any) -> None:
    """Fill in what a step has brought to light."""
    if step == "evaluate":
        report = files.read_json(workspace.out(row.task, "evaluate") / "report.json")
        row.problem, row.metric, row.version = report["problem"], report["metric"], report["version"]
        row.value, row.baseline = report["metrics"][row.metric], report["baseline"][row.metric]
    elif step == "promote":
        same = how.version == how.champion  # the champion itself came down the road again
        row.verdict, row.reasons = how.word, [] if same else how.reasons
        row.next = next_steps(workspace, loader.load(workspace, row.task), how)


def _push(root: str) -> list[TaskOutcome]:
    """Push; a row tells only of a failure."""
    try:
        steps.push(root)
    except Exception as error:  # noqa: BLE001 - the champions stand; this is one more thing to report
        row = TaskOutcome("push")
        row.stop("push", error)
        return [row]
    return []
