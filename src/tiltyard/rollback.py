"""The verb rollback: the champion before this one serves again."""

from __future__ import annotations

from tiltyard import signing
from tiltyard.decision import Decision
from tiltyard.registry import Registry
from tiltyard.task import Task
from tiltyard.workspace import Workspace


def rollback(workspace: Workspace, task: Task) -> Decision:
    """Move the pointer back; `version` of the decision serves again, `champion` no longer."""
    signing.insist(workspace, task)
    return Registry(workspace).rollback(task.name)
