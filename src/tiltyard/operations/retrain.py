"""Retraining: the stages from source to evaluation, the gate's verdict, and the package of a challenger to be tried."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tiltyard.config import base_tasks
from tiltyard.config.task import Task
from tiltyard.data import dvc
from tiltyard.errors import StageError, TiltyardError
from tiltyard.operations.ledger import Outcome, failed_trials
from tiltyard.registry.registry import Registry
from tiltyard.runtime import processes
from tiltyard.runtime.task_lock import task_lock
from tiltyard.workspace import Workspace

END_SECONDS = 0.5  # between attempts to end the stage that runs, which may just begin

Stages = Callable[[Workspace, Task, "Limit"], None]


class Limit:
    """The time limit of a retraining; it can also be ended from another thread."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds
        self.reason = ""
        self.done = threading.Event()

    def check(self) -> None:
        """Raise StageError once it is over."""
        if not self.reason and time.monotonic() > self.end:
            self.reason = "it reached operate.budget.compute_hours"
        if self.reason:
            raise StageError(f"the retraining was ended: {self.reason}", "see what it takes: tiltyard status --all")

    def stop(self, reason: str) -> None:
        """End the stage that runs, and let no other one begin."""
        self.reason = self.reason or reason
        while not self.done.wait(END_SECONDS):
            processes.end_all()

    def watch(self) -> None:
        """Wait until the retraining is done, and end it at its limit."""
        if not self.done.wait(max(0.0, self.end - time.monotonic())):
            self.stop("it reached operate.budget.compute_hours")


def run_stages(workspace: Workspace, task: Task, limit: Limit) -> None:
    """Run the stages from fetch to evaluate; unchanged ones are skipped."""
    from tiltyard.data.fetch import get

    get(workspace, task)
    for stage in dvc.STAGES:
        limit.check()
        dvc.run_stage(workspace, stage, task.name, force=base_tasks.is_stage_stale(workspace, task, stage))
    limit.check()


def retrain(workspace: Workspace, task: Task, limit: Limit, stages: Stages) -> Outcome:
    """Train and judge a challenger; if it passed the gate, package it for its trial."""
    threading.Thread(target=limit.watch, name="limit of retraining", daemon=True).start()
    try:
        with task_lock(workspace, task.name):
            stages(workspace, task, limit)
            return judged(workspace, task)
    except TiltyardError as error:
        return Outcome(_failure(error, limit), failed=True)
    finally:
        limit.done.set()


def _failure(error: TiltyardError, limit: Limit) -> str:
    return f"the retraining was ended: {limit.reason}" if limit.reason else error.message


def judged(workspace: Workspace, task: Task) -> Outcome:
    """Judge what was evaluated, and record HOLD or REJECT; PROMOTE is left to the end of the trial."""
    from tiltyard.gate.promote import promote
    from tiltyard.serving.packaging import package

    verdict = promote(workspace, task, dry_run=True)
    if verdict.version == verdict.champion:
        return Outcome("the data and the task are those of the champion", verdict.version, unchanged=True)
    if verdict.recorded:
        text = f"nothing is new since {verdict.version} was judged: {verdict.verdict}"
        return Outcome(text, verdict.version, unchanged=True)
    if verdict.version in failed_trials(Registry(workspace).decisions(task.name)):
        return Outcome(f"{verdict.version} has failed a trial before", verdict.version, unchanged=True)
    if verdict.verdict == "PROMOTE" or verdict.fails_only("approval"):
        package.package(workspace, task)
        return Outcome(f"{verdict.version} passed the gate", verdict.version, passed=True)
    verdict = promote(workspace, task)
    return Outcome(f"{verdict.verdict} {verdict.version}: {verdict.reasons[0]}", verdict.version)
