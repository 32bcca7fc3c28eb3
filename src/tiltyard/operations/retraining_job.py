"""The retraining that runs in a thread of the watch: its start, its outcome and the seconds it took."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from tiltyard.config.task import Task
from tiltyard.operations.ledger import Outcome
from tiltyard.operations.retrain import Limit, Stages, retrain
from tiltyard.operations.state import Pending, State
from tiltyard.workspace import Workspace


@dataclass
class Job:
    """A retraining that was started in this process."""

    task: str
    limit: Limit
    future: Future[Outcome]
    before: float  # seconds that it took before a kill
    started: float  # monotonic
    ended: float | None = None

    @property
    def seconds(self) -> float:
        """The seconds that it has taken."""
        return self.before + (self.ended or time.monotonic()) - self.started


class Jobs:
    """At most one retraining at a time, of any task."""

    def __init__(self, workspace: Workspace, stages: Stages) -> None:
        self.workspace, self.stages = workspace, stages
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="retraining")
        self.job: Job | None = None

    def advance(self, task: Task, pending: Pending, *, wait: bool) -> Outcome | None:
        """Start the retraining if none runs; return its outcome once it has one."""
        if self.job is None:
            self.job = self._start(task, pending)
        job = self.job
        if job.task != task.name or not (wait or job.future.done()):
            return None
        try:
            outcome = job.future.result()
        except Exception as error:  # noqa: BLE001 - a fault in one retraining must not stop the watch
            outcome = Outcome(f"{type(error).__name__}: {error}", failed=True)
        return outcome

    def _start(self, task: Task, pending: Pending) -> Job:
        limit = Limit(pending.limit - pending.seconds)
        future = self.pool.submit(retrain, self.workspace, task, limit, self.stages)
        job = Job(task.name, limit, future, pending.seconds, time.monotonic())
        future.add_done_callback(lambda _: setattr(job, "ended", time.monotonic()))
        return job

    def with_seconds(self, state: State) -> State:
        """Return a state whose pending retraining has the seconds taken so far, for the budget after a kill."""
        if self.job is None or self.job.task != state.task or not state.pending:
            return state
        return state.with_(pending=state.pending.model_copy(update={"seconds": self.job.seconds}))

    def stop(self, task: str, reason: str) -> None:
        """End the retraining of a task, and wait until it has ended."""
        if self.job and self.job.task == task:
            self.job.limit.stop(reason)
            self.job.future.exception()
            self.job = None

    def forget(self, task: str) -> None:
        """Make room for the next one."""
        if self.job and self.job.task == task:
            self.job = None

    def describe(self, task: str) -> str:
        """Return what a retraining does now."""
        if self.job and self.job.task == task:
            return f"retraining for {self.job.seconds:.0f} seconds"
        return f"waits for the retraining of {self.job.task}" if self.job else "waits"
