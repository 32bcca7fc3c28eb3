"""The verb history: every decision about a task, with its reasons."""

from __future__ import annotations

from typing import Any

from tiltyard.config.task import Task
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace


def history(workspace: Workspace, task: Task) -> list[dict[str, Any]]:
    """Return all decisions as JSON, oldest first."""
    return [decision.model_dump(mode="json") for decision in Registry(workspace).decisions(task.name)]
