"""Checks of a task file about clusterings: which columns they read, and what labels are for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiltyard.config.task import Task


def find_error(task: Task) -> str:
    """Return the first setting that conflicts with the rest of the task: key, expected, received; or empty."""
    if bool(task.model.cluster_count) != task.problem_type.clusters:
        expected = "kmeans or deep_clustering" if task.problem_type.clusters else "another than kmeans, deep_clustering"
        return f"model.family: expected {expected} for {task.problem}; received {task.model.family}"
    return _columns(task) or _labels(task) or _unsupported(task) if task.problem_type.clusters else ""


def _columns(task: Task) -> str:
    """Check that the mean row of a cluster can be shown."""
    if task.modality not in ("table", "image"):
        return f"problem: expected {task.problem} for a table or images; received {task.modality} columns"
    other = [f"{name}, {column.type}" for name, column in task.columns.items() if not column.restores]
    return f"columns: expected numbers, names, flags or images for {task.problem}; received {other[0]}" if other else ""


def _labels(task: Task) -> str:
    """Check that a target has labels, and nothing else."""
    target = task.target
    other = target.model_fields_set - {"column", "classes"}
    if other or target.columns or bool(target.column) != bool(target.classes):
        return (
            f"target: expected column and classes, by which clusters are evaluated, or no target, for {task.problem}; "
            f"received {', '.join(sorted(target.model_fields_set))}"
        )
    if len(set(target.labels)) < len(target.labels):
        return f"target.classes: expected each label once; received {target.labels}"
    return ""


def _unsupported(task: Task) -> str:
    """Refuse settings that need a target, or that are not built."""
    if task.gate.behaviours or task.gate.sensitive:
        return f"gate: expected no behaviours and no sensitive columns for {task.problem}, which predicts nothing"
    if task.derived:
        return f"derived: expected none for {task.problem}; received {', '.join(task.derived)}"
    train = task.train
    refused = {
        "folds": train.folds,
        "members": train.members > 1,
        "augment": train.augment,
        "restarts": train.restarts,
        "mixed_precision": train.mixed_precision,
    }
    if name := next((name for name, value in refused.items() if value), ""):
        return f"train.{name}: expected none for {task.problem}; received it"
    if task.ensemble or task.model.blend_references:
        key = "ensemble" if task.ensemble else "model.blend_references"
        return f"{key}: expected none for {task.problem}, since clusters of two models have no order; received it"
    return ""
