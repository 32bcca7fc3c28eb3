"""Checks of a task file about generative models: what can be sampled, and what their labels are for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltyard.config import unsupported_settings
from tiltyard.config.reconstruction_checks import response_size

if TYPE_CHECKING:
    from tiltyard.config.task import Task


def find_error(task: Task) -> str:
    """Return the first setting that conflicts with the rest of the task: key, expected, received; or empty."""
    if task.model.generates != task.problem_type.generates:
        expected = "one that draws samples, such as vae," if task.problem_type.generates else "another than a sampler"
        return f"model.family: expected {expected} for {task.problem}; received {task.model.family}"
    if not task.problem_type.generates:
        return ""
    return _labels(task) or _unsupported(task) or _adversarial(task) or response_size(task)


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
    if wrong := unsupported_settings.of_labels(task, "whose labels are conditions"):
        return wrong
    if getattr(task.model, "conditional", False) and not task.target.classes:
        return "model.conditional: expected a target with classes; received none"
    return ""


def _unsupported(task: Task) -> str:
    """Refuse settings that need a target, or that are not built."""
    train = task.train
    others = {
        "label_smoothing": train.label_smoothing,
        "class_weights": train.class_weights != "none",
        "tensorboard": "embeddings" in train.tensorboard,
    }
    return (
        unsupported_settings.of_rules(task)
        or unsupported_settings.of_training(task, "folds members augment", **others)
        or unsupported_settings.of_several_models(task, "samples of two models cannot be averaged")
    )
