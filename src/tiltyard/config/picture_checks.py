"""Checks of a task file about detection, segmentation and tracking: pictures, and what moves no box or mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltyard.modeling.columns.image import Image
from tiltyard.modeling.problems import segmentation
from tiltyard.modeling.problems.base import MAX_OBJECTS

if TYPE_CHECKING:
    from tiltyard.config.task import Task


def find_error(task: Task) -> str:
    """Return the first setting that conflicts with the rest of the task: key, expected, received; or empty."""
    targets = task.problem_type.targets
    if task.target.max_objects != MAX_OBJECTS and targets != "objects":
        return f"target.max_objects: expected only for objects in pictures; received it for {task.problem}"
    if task.model.problems and task.problem not in task.model.problems:
        return f"problem: expected {' or '.join(task.model.problems)} for {task.model.family}; received {task.problem}"
    if targets not in ("objects", "mask"):
        return ""
    if task.problem not in task.model.problems:
        expected = "unet" if targets == "mask" else "detector"
        return f"model.family: expected {expected} for {task.problem}; received {task.model.family}"
    if task.modality != "image":
        return f"problem: expected {task.problem} for a column of images alone; received {task.modality} columns"
    return _unsupported(task) or _sizes(task)


def _unsupported(task: Task) -> str:
    """Refuse settings that change boxes or masks, or that are not built."""
    augment = task.train.augment
    if augment and augment.moves_pixels:
        return (
            f"train.augment.{augment.moves_pixels[0]}: expected none for {task.problem}, since it moves or covers "
            "objects, and boxes and masks are not changed with it; brightness, contrast, noise, blur and sharpen are "
            "allowed"
        )
    if task.gate.behaviours or task.gate.sensitive or task.gate.slices:
        return f"gate: expected no behaviours, sensitive columns or slices for {task.problem}; received some"
    values = {
        "train.folds": task.train.folds,
        "train.members": task.train.members > 1,
        "train.restarts": task.train.restarts,
        "ensemble": task.ensemble,
        "model.blend_references": task.model.blend_references,
    }
    if name := next((name for name, value in values.items() if value), ""):
        return f"{name}: expected none for {task.problem}, which is not averaged over models; received some"
    if "embeddings" in task.train.tensorboard:
        return f"train.tensorboard: expected no embeddings for {task.problem}, whose outputs are maps; received them"
    return ""


def _sizes(task: Task) -> str:
    """Check that labels and a response are bounded."""
    if task.problem_type.targets == "objects":
        return ""
    if len(task.labels) > segmentation.MAX_LABELS:
        return f"target.classes: expected at most {segmentation.MAX_LABELS}; received {len(task.labels)}"
    (column,) = task.columns.values()
    assert isinstance(column, Image)  # noqa: S101 - for the type checker: the modality is that of an image
    pixels = column.height * column.width
    if (largest := max(1, segmentation.MAX_PIXELS // pixels)) < task.serve.max_instances:
        return (
            f"serve.max_instances: expected at most {largest}, since a response has {pixels:,} pixels for each; "
            f"received {task.serve.max_instances}"
        )
    return ""
