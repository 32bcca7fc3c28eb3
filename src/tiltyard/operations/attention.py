"""What needs attention in a project, for `tiltyard status --all`: the messages of the watch, whoever caused them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tiltyard import files
from tiltyard.config import loader, task_list
from tiltyard.config.operate_section import Operate
from tiltyard.config.task import Task
from tiltyard.errors import TiltyardError
from tiltyard.operations import messages, state
from tiltyard.operations.decide import STOPPED, decide
from tiltyard.operations.facts import Facts
from tiltyard.operations.messages import Message
from tiltyard.operations.observe import Observed, observe
from tiltyard.operations.retraining_rules import in_period
from tiltyard.operations.stage_errors import stage_errors
from tiltyard.operations.state import State
from tiltyard.registry.decision import Decision
from tiltyard.registry.registry import CHAMPION_VERDICTS
from tiltyard.workspace import Workspace


@dataclass
class TaskAttention:
    """One task: its champion, what goes on, the budget, and what needs attention."""

    task: str
    champion: str = ""
    doing: str = ""
    budget: str = ""
    messages: list[Message] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**vars(self), "messages": [message.to_json() for message in self.messages]}


def attention(workspace: Workspace) -> list[TaskAttention]:
    """Return a row for each listed task; an error of one task is one of its messages."""
    return [_of_task(workspace, name) for name in task_list.listed(workspace)]


def is_watched(workspace: Workspace) -> bool:
    """Return whether a process watches the project."""
    with files.claimed(workspace.watch_lock) as free:
        return not free


def _of_task(workspace: Workspace, name: str) -> TaskAttention:
    row = TaskAttention(name)
    try:
        task = loader.load(workspace, name)
        rules, saved = task.operate or Operate(), state.read(workspace, name)
        seen = observe(workspace, task, rules, saved, time.time())
    except TiltyardError as error:
        row.messages.append(messages.failed(name, error.message, error.hint or f"tiltyard history {name}"))
        return row
    row.champion, row.doing = seen.facts.champion, _doing(task, saved, seen.facts)
    row.budget = _budget(task.operate, seen.facts) if task.operate else ""
    row.messages += _messages(workspace, task, rules, saved, seen)
    return row


def _messages(workspace: Workspace, task: Task, rules: Operate, saved: State, seen: Observed) -> Iterator[Message]:
    """Yield what the watch would tell now, and the last verdict if it waits for a person."""
    for verb, error in stage_errors(workspace, task.name).items():
        yield messages.failed(task.name, f"{verb} failed: {error}", f"tiltyard {verb} {task.name}")
    yield from messages.of_facts(rules, task.name, seen.facts, decide(rules, seen.facts, saved))
    yield from messages.of_service(rules, task.name, seen.facts, seen.service_error)
    yield from messages.of_decisions(_waiting(seen.decisions))


def _waiting(decisions: list[Decision]) -> list[Decision]:
    """Return the last verdict if it is HOLD or REJECT: a later champion or trial has settled it otherwise."""
    judged = [one for one in decisions if one.verdict in {"HOLD", "REJECT", *CHAMPION_VERDICTS}]
    return judged[-1:] if judged and judged[-1].verdict in {"HOLD", "REJECT"} else []


def _doing(task: Task, saved: State, facts: Facts) -> str:
    """Return what goes on in a few words."""
    if facts.rollout:
        whose = "trial" if saved.trial and saved.trial.version == facts.rollout.version else "by hand"
        share = f" {facts.rollout.share:g}" if facts.rollout.way == "canary" else ""
        return f"{facts.rollout.way}{share} of {facts.rollout.version} ({whose})"
    if saved.pending:
        return f"{saved.pending.action} (begun)"
    if task.operate is None:
        return "not operated"
    return STOPPED if task.operate.stop else "watched"


def _budget(rules: Operate, facts: Facts) -> str:
    """Return what of the budget is spent."""
    spent = in_period(rules.budget, facts)
    counted = sum(not one.unchanged for one in spent)
    hours = sum(one.seconds for one in spent) / 3600
    most = f"{counted} of {rules.budget.retrainings} retrainings"
    return f"{most}, {hours:.2g} of {rules.budget.compute_hours:g} hours in {rules.budget.days:g} days"
