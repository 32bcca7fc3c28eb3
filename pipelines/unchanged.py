"""A run in which nothing has to be done: found by DVC, the sources and the ledger in this process, without Prefect."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from tiltyard.config import base_tasks, loader, task_list
from tiltyard.config.task import Task
from tiltyard.data import dvc, dvc_push
from tiltyard.errors import TiltyardError
from tiltyard.pipelines.server import API_URL
from tiltyard.pipelines.task_outcome import TaskOutcome
from tiltyard.runtime.task_lock import task_lock
from tiltyard.workspace import Workspace

FETCHED: dict[str, str] = {}  # the state of data that was fetched here, which the flow need not fetch again


def unchanged(workspace: Workspace, names: list[str], *, allow_stand_in: bool = False) -> list[TaskOutcome] | None:
    """Return the rows of a run in which every step has been done before; None if the flow must run.

    A team's Prefect server records every run, so with one the flow always runs. After an error it runs, too: it tries
    again what may be transient, and reports errors by task.
    """
    FETCHED.clear()
    if os.environ.get(API_URL):
        return None
    try:
        return _known_rows(workspace, names, allow_stand_in=allow_stand_in)
    except (TiltyardError, OSError):
        return None


def _known_rows(workspace: Workspace, names: list[str], *, allow_stand_in: bool) -> list[TaskOutcome] | None:
    if not dvc_push.is_pushed(workspace):
        return None
    names = base_tasks.in_training_order(workspace, names)
    if any(base_tasks.find_error(workspace, name) for name in names):
        return None
    tasks = [loader.load(workspace, name) for name in names]
    with _locked(workspace, names):
        if not {*names} <= {*task_list.listed(workspace)} or not dvc.is_current(workspace, *names):
            return None
        rows = []
        for task in tasks:
            if not (row := _row(workspace, task, allow_stand_in=allow_stand_in)):
                return None
            rows.append(row)
    _log(workspace, rows)
    FETCHED.clear()  # no flow follows
    return rows


@contextlib.contextmanager
def _locked(workspace: Workspace, names: list[str]) -> Iterator[None]:
    """Hold the locks of all tasks, taken in one order by every run."""
    with contextlib.ExitStack() as stack:
        for name in sorted(names):
            stack.enter_context(task_lock(workspace, name))
        yield


def _row(workspace: Workspace, task: Task, *, allow_stand_in: bool) -> TaskOutcome | None:
    """Return the row of a task whose data are the same and whose verdict is known; None if a step must run."""
    from tiltyard.data.fetch import get
    from tiltyard.evaluation.evaluated import read_evaluated
    from tiltyard.gate.judge import known_verdict
    from tiltyard.gate.next_steps import next_steps
    from tiltyard.gate.promote import promote

    row, started = TaskOutcome(task.name), time.monotonic()
    if base_tasks.is_stale(workspace, task) or not (workspace.report / f"{task.name}.html").is_file():
        return None
    FETCHED[task.name] = get(workspace, task).state
    if FETCHED[task.name] == "new":
        return None
    evaluated = read_evaluated(workspace, task)
    earlier = known_verdict(workspace, task, evaluated, allow_stand_in=allow_stand_in)
    if not earlier or (earlier.fails_only("approval") and task.gate.approval_minutes):
        return None
    # completes a package that is missing in a fresh clone
    verdict = promote(workspace, task, allow_stand_in=allow_stand_in)
    row.record_report(evaluated.report)
    row.record_verdict(verdict, next_steps(workspace, task, verdict))
    row.seconds = time.monotonic() - started
    return row


def _log(workspace: Workspace, rows: list[TaskOutcome]) -> None:
    """Append to the log of runs what was found."""
    path, now = workspace.log("run"), datetime.now(UTC).isoformat(timespec="seconds")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log:
        for row in rows:
            state = FETCHED[row.task]
            log.write(
                f"{now} {row.task}: data {state}, stages up to date, {row.version} judged before: {row.verdict}\n"
            )
