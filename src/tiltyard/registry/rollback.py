"""Rollback: serve the previous champion again."""

from __future__ import annotations

from tiltyard.config.task import Task
from tiltyard.registry import signing
from tiltyard.registry.decision import Decision
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace


def rollback(workspace: Workspace, task: Task) -> Decision:
    """Make the previous champion serve again; the decision's `version` returns, its `champion` is replaced."""
    signing.require_key(workspace, task.name, required=task.gate.signed)
    return Registry(workspace).rollback(task.name)
