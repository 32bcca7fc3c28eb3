"""One look at a task: observes, decides by its rules, carries the decision out, and notifies.

Each action is written to the state of the task before it is begun, and removed when it is done: after a kill, the next
look finishes it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from tiltyard.config.task import Task
from tiltyard.errors import TaskError, TiltyardError
from tiltyard.operations import actions, ledger, messages, state
from tiltyard.operations.decide import Step, decide
from tiltyard.operations.messages import Message
from tiltyard.operations.notify import notify
from tiltyard.operations.observe import Observed, observe
from tiltyard.operations.retrain import Stages, run_stages
from tiltyard.operations.retraining_job import Jobs
from tiltyard.operations.stage_errors import stage_errors
from tiltyard.operations.state import Pending, State, Trial
from tiltyard.registry import signing
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace


@dataclass
class Look:
    """What one look at a task found and did."""

    task: str
    action: str = "none"
    reason: str = ""
    blocked: str = ""
    result: str = ""
    messages: list[Message] = field(default_factory=list)
    undelivered: list[str] = field(default_factory=list)
    error: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**asdict(self), "messages": [message.to_json() for message in self.messages]}


class Watcher:
    """Operates tasks; at most one of them is retrained at a time, in a thread, so that rollbacks do not wait for it."""

    def __init__(
        self, workspace: Workspace, clock: Callable[[], float] = time.time, stages: Stages = run_stages
    ) -> None:
        self.workspace, self.clock, self.jobs = workspace, clock, Jobs(workspace, stages)

    def look(self, task: Task, *, wait: bool = True) -> Look:
        """Look at one task once; with `wait`, a retraining is finished before this returns."""
        looked, rules = Look(task.name), task.operate
        if rules is None:
            raise not_operated(task.name)
        before = state.read(self.workspace, task.name)
        is_first, now = not state.path(self.workspace, task.name).is_file(), self.clock()
        seen = observe(self.workspace, task, rules, before, now)
        decided = len(seen.decisions) if is_first else before.decided  # what was decided before is not told
        before = self.jobs.with_seconds(before.with_(counted=seen.counted, decided=decided))
        step = decide(rules, seen.facts, before)
        looked.action, looked.reason, looked.blocked = step.action, step.reason, step.blocked
        try:
            after = self._take(task, before, step, looked, wait=wait)
        except TiltyardError as error:  # what is pending is tried again at the next look
            after, looked.error, looked.hint = state.read(self.workspace, task.name), error.message, error.hint
            about = f"{step.action} {step.version}"
            looked.messages.append(
                messages.failed(task.name, f"{step.action}: {error.message}", _command(error, task), about)
            )
        looked.messages += self._messages(task, seen, step, before)
        state.write(self.workspace, self._notified(task, after, looked, now))
        return looked

    def _take(self, task: Task, before: State, step: Step, looked: Look, *, wait: bool) -> State:
        """Carry out a step; return the state after it."""
        if step.action == "none":
            return before
        if step.action == "forget":
            self._interrupt(task, before.pending, step.reason)
            keeps = before.pending is not None and before.trial is not None and before.trial.begun
            return before.with_(pending=None, trial=before.trial if keeps else None)
        begun = self._begin(task, before, step)
        assert begun.pending  # noqa: S101 - for the type checker
        ledger.record(self.workspace, task.name, begun.pending, self.clock(), step.figures)
        if begun.pending.action == "retrain":
            return self._retrain(task, begun, looked, wait=wait)
        try:
            result, looked.result = actions.carry_out(self.workspace, task, begun.pending)
        except TiltyardError as error:
            if begun.pending.action in ("end", "rollback"):
                raise
            result, looked.result = "held", f"{begun.pending.action} failed: {error.message}"
            command, about = _command(error, task), f"{begun.pending.action} {begun.pending.version}"
            looked.messages.append(messages.failed(task.name, looked.result, command, about))
        if result == "held":
            return self._take(task, begun.with_(pending=None), _ending(begun.pending, looked.result), looked, wait=wait)
        return self._done(begun, waits=result == "approval")

    def _begin(self, task: Task, before: State, step: Step) -> State:
        """Write the action to the state, unless it is there already; a retraining that runs is ended first."""
        pending = before.pending
        if pending and pending.action == step.action:
            state.write(self.workspace, before)
            return before
        signing.require_key(self.workspace, task.name, required=task.gate.signed)
        self._interrupt(task, pending, step.reason)
        champion = Registry(self.workspace).champion(task.name)
        fields = {"action": step.action, "reason": step.reason, "version": step.version, "share": step.share}
        fields |= {"champion": champion.version if champion else "", "limit": step.limit}
        begun = before.with_(pending=Pending.model_validate({"id": uuid.uuid4().hex, **fields}))
        state.write(self.workspace, begun)
        return begun

    def _interrupt(self, task: Task, pending: Pending | None, reason: str) -> None:
        """End the retraining that runs, if one does."""
        if pending and pending.action == "retrain":
            self.jobs.stop(task.name, reason)
            ended = ledger.Outcome(f"ended before it was done: {reason}", failed=True)
            ledger.record_end(self.workspace, task.name, pending, self.clock(), ended)

    def _retrain(self, task: Task, begun: State, looked: Look, *, wait: bool) -> State:
        """Start the retraining, or take its outcome if it has ended."""
        assert begun.pending  # noqa: S101 - for the type checker
        outcome = self.jobs.advance(task, begun.pending, wait=wait)
        begun = self.jobs.with_seconds(begun)
        if outcome is None:
            looked.result = self.jobs.describe(task.name)
            return begun
        self.jobs.forget(task.name)
        assert begun.pending  # noqa: S101 - for the type checker
        ledger.record_end(self.workspace, task.name, begun.pending, self.clock(), outcome)
        looked.result, now = outcome.reason, self.clock()
        if outcome.failed and not stage_errors(self.workspace, task.name):
            text, command = f"the retraining failed: {outcome.reason}", f"tiltyard run {task.name}"
            looked.messages.append(messages.failed(task.name, text, command, begun.pending.id))
        elif outcome.passed:
            text = f"retrained since {begun.pending.reason}: {outcome.reason}"
            looked.messages.append(
                Message("retrained", task.name, text, f"tiltyard traffic {task.name}", outcome.version)
            )
        if not outcome.passed:
            return begun.with_(pending=None)
        trial = Trial(version=outcome.version, champion=begun.pending.champion, since=now, step_since=now)
        return begun.with_(pending=None, trial=trial)

    def _done(self, begun: State, *, waits: bool) -> State:
        """Return the state after an action."""
        pending, trial, now = begun.pending, begun.trial, self.clock()
        if pending and trial and pending.action in ("shadow", "canary"):
            changes = {"begun": True, "step_since": now, **({} if trial.begun else {"since": now})}
            return begun.with_(pending=None, trial=trial.model_copy(update=changes))
        return begun.with_(pending=None, trial=trial.model_copy(update={"asked": True}) if trial and waits else None)

    def _messages(self, task: Task, seen: Observed, step: Step, before: State) -> Iterator[Message]:
        """Yield the messages about what was seen, and about new verdicts of the ledger, also of other commands."""
        assert task.operate  # noqa: S101 - for the type checker
        yield from messages.of_facts(task.operate, task.name, seen.facts, step)
        yield from messages.of_service(task.operate, task.name, seen.facts, seen.service_error)
        for verb, error in stage_errors(self.workspace, task.name).items():
            yield messages.failed(
                task.name, f"{verb} failed: {error}", f"tiltyard {verb} {task.name}", f"{verb} {error}"
            )
        decisions = Registry(self.workspace).decisions(task.name)
        yield from messages.of_decisions(decisions[before.decided :])
        if step.action == "end":
            text = f"the trial of {step.version} ended: {step.reason}"
            yield Message(
                "hold", task.name, messages.one_line(text), f"tiltyard history {task.name}", f"end {step.version}"
            )

    def _notified(self, task: Task, after: State, looked: Look, now: float) -> State:
        """Send the messages; return the state that remembers them."""
        told, looked.undelivered = notify(self.workspace, task.notify, looked.messages, after.told, now)
        decided = after.decided if looked.undelivered else len(Registry(self.workspace).decisions(task.name))
        return after.with_(told=told, decided=decided)


def _ending(pending: Pending, reason: str) -> Step:
    return Step("end", reason, pending.version)


def _command(error: TiltyardError, task: Task) -> str:
    """Return the command that an error's hint ends with, or one that shows more."""
    return error.hint or f"tiltyard history {task.name}"


def not_operated(task: str) -> TaskError:
    """Return the error about a task without a section `operate`."""
    return TaskError(
        f"{task} is not operated: expected a section `operate` in tasks/{task}.yaml; received none",
        hint="add `operate: {}` for the defaults; its keys: tiltyard help operate",
    )
