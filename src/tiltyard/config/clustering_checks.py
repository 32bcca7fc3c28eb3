"""Checks of a task file about clusterings: which columns they read, and what labels are for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tiltyard.config import unsupported_settings

if TYPE_CHECKING:
    from tiltyard.config.task import Task

MAX_NUMBERS = 1 << 21  # of all mean rows


def find_error(task: Task) -> str:
    """Return the first setting that conflicts with the rest of the task: key, expected, received; or empty."""
    if bool(task.model.cluster_count) != task.problem_type.clusters:
        expected = "kmeans or deep_clustering" if task.problem_type.clusters else "another than kmeans, deep_clustering"
        return f"model.family: expected {expected} for {task.problem}; received {task.model.family}"
    if not task.problem_type.clusters:
        return ""
    labels = unsupported_settings.of_labels(task, "by which clusters are evaluated")
    return _columns(task) or _mean_rows(task) or labels or _unsupported(task)


def _columns(task: Task) -> str:
    """Check that the mean row of a cluster can be shown."""
    if task.modality not in ("table", "image"):
        return f"problem: expected {task.problem} for a table or images; received {task.modality} columns"
    return unsupported_settings.of_columns(task)


def _mean_rows(task: Task) -> str:
    """Check that the mean rows, which a package holds, have a bounded number of numbers."""
    values = sum(math.prod(getattr(column, "shape", (1,))) for column in task.columns.values())
    if (most := MAX_NUMBERS // values) < task.model.cluster_count:
        return (
            f"model.clusters: expected at most {most}, since the mean row of each has {values:,} numbers; "
            f"received {task.model.cluster_count}"
        )
    return ""


def _unsupported(task: Task) -> str:
    """Refuse settings that need a target, or that are not built."""
    return (
        unsupported_settings.of_rules(task)
        or unsupported_settings.of_derived(task)
        or unsupported_settings.of_training(task, "folds members augment restarts mixed_precision")
        or unsupported_settings.of_several_models(task, "clusters of two models have no order")
    )
