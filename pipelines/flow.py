"""The pipeline as one Prefect flow: it takes tasks from source to packaged champion, in parallel on all cores."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.states import Completed, Failed

from tiltyard import files
from tiltyard.config import base_tasks, loader, task_list
from tiltyard.config.task import Task
from tiltyard.data import dvc
from tiltyard.errors import TiltyardError
from tiltyard.gate.next_steps import next_steps
from tiltyard.pipelines import server, steps, task_pool
from tiltyard.pipelines.fork_server import ForkServers
from tiltyard.pipelines.run_progress import RunProgress
from tiltyard.pipelines.task_outcome import TaskOutcome
from tiltyard.runtime import progress
from tiltyard.runtime.task_lock import task_lock
from tiltyard.workspace import Workspace

Options = dict[str, dict[str, bool]]  # of each step


def run(
    workspace: Workspace, names: list[str], ready: Callable[[], None] = lambda: None, *, allow_stand_in: bool = False
) -> list[TaskOutcome]:
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
    state: Any = pipeline_flow(str(workspace.root), names, allow_stand_in, return_state=True)
    rows: list[TaskOutcome] | BaseException = state.result(raise_on_failure=False)
    if isinstance(rows, BaseException):
        raise rows
    return rows


# The name is stored in Prefect's databases, with the history of runs and as road/TASKS in deployments: it must stay.
@flow(name="road", persist_result=False, validate_parameters=False)
def pipeline_flow(root: str, names: list[str], allow_stand_in: bool = False) -> Any:
    """Return a row for each task; if one fails, the others go on."""
    workspace = Workspace(Path(root))
    with (
        contextlib.chdir(root),  # DVC is used in the project folder
        ForkServers(),
        RunProgress(workspace, names, tuple(steps.STEPS), task_pool.worker_count(names)) as display,
    ):
        options = {"promote": {"allow_stand_in": allow_stand_in}}
        rows = task_pool.run_tasks(workspace, names, display, lambda task: _run_task(workspace, task, display, options))
        if any(row.ok for row in rows):
            display.show_activity("pushing versions to the remote")
            rows += _push_versions(root)
    failed = [row.task for row in rows if not row.ok]
    return Failed(message=f"stopped: {', '.join(failed)}", data=rows) if failed else Completed(data=rows)


def _run_task(workspace: Workspace, task: Task, display: RunProgress, options: Options) -> TaskOutcome:
    """Run the steps of one task, holding the task's lock."""
    name = task.name
    row, start = TaskOutcome(name), time.monotonic()
    progress.LISTENER.set(lambda text: display.note(name, text))
    try:
        with task_lock(workspace, name):
            start = time.monotonic()
            _run_steps(workspace, task, display, row, options)
    except TiltyardError as error:  # another process still holds the lock
        row.fail("fetch", error)
        display.fail(name, "fetch", row.error)
    row.seconds = time.monotonic() - start
    return row


def _run_steps(workspace: Workspace, task: Task, display: RunProgress, row: TaskOutcome, options: Options) -> None:
    """Run the steps one after the other until one fails; `options` are those of steps by name."""
    name = task.name
    for step in steps.STEPS:
        if display.stopping.is_set():
            break
        display.begin(name, step)
        try:
            result = _run_step(workspace, name, step, **options.get(step, {}))
            _record_result(workspace, row, step, result)
            if step == "fetch":
                current = not base_tasks.is_stale(workspace, task) and dvc.is_current(workspace, name)
                options = {**options, **{stage: {"current": current} for stage in dvc.STAGES}}
        except Exception as error:  # noqa: BLE001 - whatever stops this task must not stop the others
            row.fail(step, error)
            display.fail(name, step, row.error)
            break
        display.end(name, step, result if isinstance(result, str) else row.verdict)


def _run_step(workspace: Workspace, name: str, step: str, **options: bool) -> Any:
    """Run one Prefect task; return its result or raise its error."""
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
