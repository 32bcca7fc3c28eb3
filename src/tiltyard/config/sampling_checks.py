"""Checks of a task file about generative models: what can be sampled, and what their labels are for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiltyard.config.task import Task


def find_error(task: Task) -> str:
    """Return the first setting that conflicts with the rest of the task: key, expected, received; or empty."""
    if task.model.generates != task.problem_type.generates:
        expected = "one that draws samples, such as vae," if task.problem_type.generates else "another than a sampler"
        return f"model.family: expected {expected} for {task.problem}; received {task.model.family}"
    return _labels(task) or _unsupported(task) or _adversarial(task) if task.problem_type.generates else ""


def _adversarial(task: Task) -> str:
    """Refuse settings of one network and one loss where two networks learn against each other."""
    if not task.model.adversarial:
        return ""
    train = task.train
    refused = {
        "then": train.then is not None,
        "schedule": train.schedule.kind == "plateau",
        "mixed_precision": train.mixed_precision,
        "stop_at": train.stop_at is not None,
        "tensorboard": bool(train.tensorboard),
    }
    if name := next((name for name, is_set in refused.items() if is_set), ""):
        value = train.schedule.kind if name == "schedule" else getattr(train, name)
        return f"train.{name}: expected none for {task.model.family}, which trains two networks; received {value}"
    return ""


def _labels(task: Task) -> str:
    """Check that labels are named where a model is conditional, and nothing else of a target."""
    if task.modality != "image":
        return f"problem: expected {task.problem} for images; received {task.modality} columns"
    target = task.target
    other = target.model_fields_set - {"column", "classes"}
    if other or target.columns or bool(target.column) != bool(target.classes):
        return (
            f"target: expected column and classes, or no target, for {task.problem}, whose labels are conditions; "
            f"received {', '.join(sorted(target.model_fields_set))}"
        )
    if getattr(task.model, "conditional", False) and not target.classes:
        return "model.conditional: expected a target with classes; received none"
    if len(set(target.labels)) < len(target.labels):
        return f"target.classes: expected each label once; received {target.labels}"
    return ""


def _unsupported(task: Task) -> str:
    """Refuse settings that need a target, or that are not built."""
    if task.gate.behaviours or task.gate.sensitive:
        return f"gate: expected no behaviours and no sensitive columns for {task.problem}, which predicts nothing"
    train = task.train
    refused = {
        "folds": train.folds,
        "members": train.members > 1,
        "augment": train.augment,
        "label_smoothing": train.label_smoothing,
        "class_weights": train.class_weights != "none",
    }
    if refused_name := next((name for name, value in refused.items() if value), ""):
        return f"train.{refused_name}: expected none for {task.problem}; received it"
    if task.model.blend_references:
        return "model.blend_references: expected false, since no reference draws samples; received true"
    return ""
