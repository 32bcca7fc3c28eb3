"""The verb rollback: the champion before this one serves again."""

from __future__ import annotations

from tiltyard.config.task import Task
from tiltyard.registry import signing
from tiltyard.registry.decision import Decision
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace


def rollback(workspace: Workspace, task: Task) -> Decision:
    """Move the pointer back; `version` of the decision serves again, `champion` no longer."""
    signing.insist(workspace, task.name, wanted=task.gate.signed)
    return Registry(workspace).rollback(task.name)
