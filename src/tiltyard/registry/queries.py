"""What the registry tells: champions and their last decisions, all decisions, and why one was made."""

from __future__ import annotations

from typing import Any

from tiltyard.config import loader, task_list
from tiltyard.config.task import Task
from tiltyard.errors import RegistryError, TiltyardError
from tiltyard.registry.aliases import named
from tiltyard.registry.decision import TRAFFIC
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace


def status(workspace: Workspace) -> list[dict[str, Any]]:
    """Return a row a task; where there is no champion yet, its fields are None."""
    return [_row(workspace, name) for name in task_list.listed(workspace)]


def _row(workspace: Workspace, name: str) -> dict[str, Any]:
    registry = Registry(workspace)
    mistake: TiltyardError | None = loader.find_error(workspace, name)
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


def history(workspace: Workspace, task: Task) -> list[dict[str, Any]]:
    """Return all decisions as JSON, oldest first."""
    return [decision.model_dump(mode="json") for decision in Registry(workspace).decisions(task.name)]


def why(workspace: Workspace, task: Task, name: str | None = None) -> dict[str, Any]:
    """Return the last decision about a version, or the last of all."""
    decisions = Registry(workspace).decisions(task.name)
    if not decisions:
        raise RegistryError(f"nothing was decided about {task.name} yet", hint=f"let it: tiltyard run {task.name}")
    wanted = named(workspace, task, name) if name else decisions[-1].version
    about = [decision for decision in decisions if decision.version == wanted]
    if not about:
        raise RegistryError(
            f"nothing was decided about version {wanted} of {task.name}",
            hint=f"see what was: tiltyard history {task.name}",
        )
    judged = [decision for decision in about if decision.verdict not in TRAFFIC]  # they stand on no grounds
    return (judged or about)[-1].model_dump(mode="json")
