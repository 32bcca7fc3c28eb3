"""Settings that some problems refuse: those that need a target, and those that are not built for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiltyard.config.task import Task


def of_training(task: Task, names: str, **others: Any) -> str:
    """Return the first of these settings of training that is set, or empty; `others` are true if they are."""
    known = {
        "folds": task.train.folds,
        "members": task.train.members > 1,
        "augment": task.train.augment,
        "restarts": task.train.restarts,
        "mixed_precision": task.train.mixed_precision,
    }
    for name, is_set in {**{name: known[name] for name in names.split()}, **others}.items():
        if is_set:
            return f"train.{name}: expected none for {task.problem}; received it"
    return ""


def of_rules(task: Task) -> str:
    """Return whether the gate has rules about the columns of a prediction; or empty."""
    if task.gate.behaviours or task.gate.sensitive:
        return f"gate: expected no behaviours and no sensitive columns for {task.problem}, which predicts nothing"
    return ""


def of_several_models(task: Task, reason: str) -> str:
    """Return the first setting that averages models, or empty."""
    settings = {"ensemble": task.ensemble, "model.blend_references": task.model.blend_references}
    for key, is_set in settings.items():
        if is_set:
            return f"{key}: expected none for {task.problem}, since {reason}; received it"
    return ""


def of_labels(task: Task, purpose: str) -> str:
    """Check that a target has labels, which are only for this purpose, and nothing else."""
    target = task.target
    other = target.model_fields_set - {"column", "classes"}
    if other or target.columns or bool(target.column) != bool(target.classes):
        return (
            f"target: expected column and classes, {purpose}, or no target, for {task.problem}; "
            f"received {', '.join(sorted(target.model_fields_set))}"
        )
    if len(set(target.labels)) < len(target.labels):
        return f"target.classes: expected each label once; received {target.labels}"
    return ""


def of_columns(task: Task) -> str:
    """Check that features can be converted back to values."""
    other = [f"{name}, {column.type}" for name, column in task.columns.items() if not column.restores]
    return f"columns: expected numbers, names, flags or images for {task.problem}; received {other[0]}" if other else ""


def of_derived(task: Task) -> str:
    """Check that no columns are derived."""
    return f"derived: expected none for {task.problem}; received {', '.join(task.derived)}" if task.derived else ""
