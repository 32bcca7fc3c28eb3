"""The verb status: each task's champion, and the last thing that was decided about it."""

from __future__ import annotations

from typing import Any

from tiltyard.config import loader, task_list
from tiltyard.errors import RegistryError, TiltyardError
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace


def status(workspace: Workspace) -> list[dict[str, Any]]:
    """Return a row a task; where there is no champion yet, its fields are None."""
    return [_row(workspace, name) for name in task_list.listed(workspace)]


def _row(workspace: Workspace, name: str) -> dict[str, Any]:
    registry = Registry(workspace)
    mistake: TiltyardError | None = loader.mistake(workspace, name)
    try:
        champion, decisions = registry.champion(name), registry.decisions(name)
    except RegistryError as error:  # of one task: the others have rows all the same
        champion, decisions, mistake = None, [], mistake or error
    decision, last = champion.decision if champion else None, decisions[-1] if decisions else None
    return {
        "task": name,
        "version": decision.version if decision else None,
        "metric": decision.metric if decision else None,
        "value": decision.metrics.get(decision.metric) if decision else None,
        "since": decision.time if decision else None,
        "verdict": last.verdict if last else None,
        "reasons": last.reasons if last else [],
        "decided": last.time if last else None,
        "mistake": mistake.message if mistake else None,
        "hint": mistake.hint if mistake else None,
    }
