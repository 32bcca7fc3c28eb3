"""Checks of a task file about problems without a target: what can be reconstructed, in a response of bounded size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tiltyard.config import unsupported_settings
from tiltyard.modeling.problems.reconstruction import MAX_NUMBERS

if TYPE_CHECKING:
    from tiltyard.config.task import Task


def find_error(task: Task) -> str:
    """Return the first setting that conflicts with the rest of the task: key, expected, received; or empty."""
    if task.problem_type.generates or task.problem_type.clusters:
        return ""  # which checks of their own concern
    has_target, received = task.problem_type.targets != "row", ", ".join(task.target.names)
    finds_anomalies = task.problem_type.targets == "anomaly"  # with labels or without
    if has_target and not received and not finds_anomalies:
        return f"target: expected the column to predict for {task.problem}; received none"
    if received and not has_target:
        return f"target: expected none for {task.problem}, which has no target; received {received}"
    if task.model.reconstructs != task.problem_type.reconstructs:
        expected = "autoencoder" if task.problem_type.reconstructs else "another than autoencoder"
        return f"model.family: expected {expected} for {task.problem}; received {task.model.family}"
    if not task.problem_type.reconstructs:
        return ""
    return _columns(task) or _unsupported(task) or response_size(task)


def _columns(task: Task) -> str:
    """Check that columns have values that features can be converted back to."""
    finds_anomalies = task.problem_type.targets == "anomaly"
    if task.modality not in ("table", "image", *(["series"] if finds_anomalies else [])):
        expected = "a table, images or a series" if finds_anomalies else "a table or images"
        return f"problem: expected {task.problem} for {expected}; received {task.modality} columns"
    return unsupported_settings.of_columns(task)


def _unsupported(task: Task) -> str:
    """Refuse settings that need a target, or that are not built."""
    return (
        unsupported_settings.of_rules(task)
        or unsupported_settings.of_derived(task)
        or unsupported_settings.of_training(task, "folds members")
        or unsupported_settings.of_several_models(task, "reconstructions of two models are not averaged")
    )


def response_size(task: Task) -> str:
    """Check that a response has a bounded number of numbers."""
    sizes = [math.prod(getattr(column, "shape", (getattr(column, "window", 1),))) for column in task.columns.values()]
    values = sum(sizes) + task.model.code_size
    if (largest := max(1, MAX_NUMBERS // values)) < task.serve.max_instances:
        return (
            f"serve.max_instances: expected at most {largest}, since a response has {values:,} numbers for each; "
            f"received {task.serve.max_instances}"
        )
    return ""
