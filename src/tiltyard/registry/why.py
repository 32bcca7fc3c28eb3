"""The verb why: what was decided about a version and on what grounds, check by check."""

from __future__ import annotations

from typing import Any

from tiltyard.config.task import Task
from tiltyard.errors import RegistryError
from tiltyard.registry.aliases import named
from tiltyard.registry.decision import TRAFFIC
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace


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
