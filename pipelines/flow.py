"""The pipeline as one Prefect flow: it takes tasks from source to packaged champion, in parallel on all cores."""

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
from pipelines.fork_server import ForkServers
from pipelines.run_progress import RunProgress
from pipelines.task_outcome import TaskOutcome
from tiltyard import files, processes, progress
from tiltyard.config import base_tasks, loader, task_list
from tiltyard.config.task import Task
from tiltyard.data import dvc
from tiltyard.errors import TaskError, TiltyardError
from tiltyard.gate.next_steps import next_steps
from tiltyard.workspace import Workspace

INTERRUPT_SECONDS = 10.0  # how long an interrupt waits for steps that cannot be ended, such as a download


def run(workspace: Workspace, names: list[str], ready: Callable[[], None] = lambda: None) -> list[TaskOutcome]:
    """Run the pipeline for tasks and return a row for each; all task files are read before anything runs.

    Prefect reads its settings when it is imported: call environment.configure_tools and server.running_server first.
    """
    names = base_tasks.in_training_order(workspace, names)
    for name in names:
        if base_tasks.find_error(workspace, name):
            continue  # its row reports the error
        task_list.add(workspace, name)  # DVC makes a stage for each listed task
    dvc.repair_lock_file(workspace)
    server.wait_until_ready()
    ready()
    state: Any = pipeline_flow(str(workspace.root), names, return_state=True)
    rows: list[TaskOutcome] | BaseException = state.result(raise_on_failure=False)
    if isinstance(rows, BaseException):
        raise rows
    return rows


# The name is stored in Prefect's databases, with the history of runs and as road/TASKS in deployments: it must stay.
@flow(name="road", persist_result=False, validate_parameters=False)
def pipeline_flow(root: str, names: list[str]) -> Any:
    """Return a row for each task; if one fails, the others go on."""
    workspace = Workspace(Path(root))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(len(names), cores)
    with (
        contextlib.chdir(root),
        ForkServers(),
        RunProgress(workspace, names, tuple(steps.STEPS), workers) as display,
    ):
        with _pool(workers, display) as pool:  # DVC is used in the project folder
            # Prefect finds the flow that a task belongs to in the context, which threads do not inherit
            futures: dict[str, Future[TaskOutcome]] = {}
            for name in names:  # a base task is submitted before the tasks that wait for it
                if error := base_tasks.find_error(workspace, name):
                    futures[name] = pool.submit(_invalid_task_file, name, display, error)
                    continue
                task = loader.load(workspace, name)
                base = futures.get(task.model.base_task)
                futures[name] = pool.submit(contextvars.copy_context().run, _run_task, workspace, task, display, base)
            rows = [future.result() for future in futures.values()]
        if any(row.ok for row in rows):
            display.show_activity("pushing versions to the remote")
            rows += _push_versions(root)
    failed = [row.task for row in rows if not row.ok]
    return Failed(message=f"stopped: {', '.join(failed)}", data=rows) if failed else Completed(data=rows)


def _invalid_task_file(name: str, display: RunProgress, error: TaskError) -> TaskOutcome:
    """Return the row of a task whose file cannot be read; the other tasks go on."""
    row = TaskOutcome(name)
    row.fail("task file", error)
    display.fail(name, "task file", row.error)
    return row


@contextlib.contextmanager
def _pool(workers: int, display: RunProgress) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of threads; an interrupt cancels what waits and ends the stages that run."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    except BaseException:
        display.stopping.set()
        display.show_activity("stopping")
        pool.shutdown(wait=False, cancel_futures=True)
        processes.end_all()
        display.wait_until_idle(INTERRUPT_SECONDS)
        raise
    pool.shutdown()


def _run_task(workspace: Workspace, task: Task, display: RunProgress, base: Future[TaskOutcome] | None) -> TaskOutcome:
    """Run the steps of one task after its base task, holding the task's lock."""
    name = task.name
    if base:
        base.result()
    row, start = TaskOutcome(name), time.monotonic()
    progress.LISTENER.set(lambda text: display.note(name, text))
    try:
        with processes.task_lock(workspace, name):
            start = time.monotonic()
            _run_steps(workspace, task, display, row)
    except TiltyardError as error:  # another process still holds the lock
        row.fail("fetch", error)
        display.fail(name, "fetch", row.error)
    row.seconds = time.monotonic() - start
    return row


def _run_steps(workspace: Workspace, task: Task, display: RunProgress, row: TaskOutcome) -> None:
    """Run the steps one after the other until one fails."""
    name, current = task.name, False
    for step in steps.STEPS:
        if display.stopping.is_set():
            break
        display.begin(name, step)
        try:
            result = _run_step(workspace, name, step, current=current)
            _record_result(workspace, row, step, result)
            if step == "fetch":
                current = not base_tasks.is_stale(workspace, task) and dvc.is_current(workspace, name)
        except Exception as error:  # noqa: BLE001 - whatever stops this task must not stop the others
            row.fail(step, error)
            display.fail(name, step, row.error)
            break
        display.end(name, step, result if isinstance(result, str) else row.verdict)


def _run_step(workspace: Workspace, name: str, step: str, *, current: bool) -> Any:
    """Run one Prefect task; return its result or raise its error."""
    options = {"current": current} if step in dvc.STAGES else {}
    state: Any = steps.STEPS[step](str(workspace.root), name, **options, return_state=True)
    return state.result()


def _record_result(workspace: Workspace, row: TaskOutcome, step: str, result: Any) -> None:
    """Fill in the row from the result of a step: metrics of `evaluate`, the verdict of `promote`."""
    if step == "evaluate":
        row.record_report(files.read_json(workspace.out(row.task, "evaluate") / "report.json"))
    elif step == "promote":
        row.record_verdict(result, next_steps(workspace, loader.load(workspace, row.task), result))


def _push_versions(root: str) -> list[TaskOutcome]:
    """Push versions to the remote; return a row only if that fails."""
    try:
        steps.push(root)
    except Exception as error:  # noqa: BLE001 - the champions are promoted already; this is reported beside them
        row = TaskOutcome("push")
        row.fail("push", error)
        return [row]
    return []
