"""Checks of what a task predicts: the labels or numbers of its target, forecasts, and decision thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltyard.config import column_checks, picture_checks
from tiltyard.errors import format_value
from tiltyard.modeling.columns._label_cells import labels_of
from tiltyard.modeling.problems.multilabel import MAX_LABELS

if TYPE_CHECKING:
    from tiltyard.config.task import Task


def target_error(task: Task) -> str:
    """Check that the target has labels where the problem needs them, and that its options fit."""
    has_labels = task.problem_type.targets in ("label", "labels", "objects", "mask")
    if has_labels != bool(task.labels):
        expected = "the list of labels" if has_labels else "none"
        return f"target.classes: expected {expected} for {task.problem}; received {task.target.classes}"
    if len(set(task.labels)) < len(task.labels):
        return f"target.classes: expected each label once; received {task.labels}"
    if text := _label_cells(task):
        return text
    if task.target.threshold is not None and len(task.classes) != 2:
        return f"target.threshold: expected two classes, below and above the threshold; received {task.target.classes}"
    if task.target.log and task.problem_type.targets != "number":
        return f"target.log: expected only for numbers; received true for {task.problem}"
    return picture_checks.find_error(task) or _problem(task)


def numbers_error(task: Task) -> str:
    """Check that several numbers are predicted only where they can be."""
    if not task.target.columns:
        return ""
    if task.problem != "regression" or task.modality not in ("table", "text"):
        received = f"them for {task.problem}" if task.problem != "regression" else f"{task.modality} columns"
        return f"target.columns: expected several numbers only for regression of a table or texts; received {received}"
    if not task.model.trained_by_epochs and task.model.family != "reference":
        return f"target.columns: expected a family that predicts several numbers; received {task.model.family}"
    if task.gate.behaviours:
        return "gate.behaviours: expected none with several targets, since a rule names no target; received some"
    return ""


def _label_cells(task: Task) -> str:
    """Check that cells with several labels can be read."""
    separator = task.target.separator
    if task.problem != "multilabel":
        return f"target.separator: expected only for multilabel; received it for {task.problem}" if separator else ""
    if task.modality == "image" and "/" in (separator or ""):
        return f"target.separator: expected one without /, since folders of images name labels; received {separator}"
    if len(task.labels) > MAX_LABELS:
        return f"target.classes: expected at most {MAX_LABELS} labels; received {len(task.labels)}"
    if unreadable := [label for label in task.labels if labels_of(label, separator) != [label]]:
        wanted = "labels without blanks around them" + (f", and without '{separator}'" if separator else "")
        return f"target.classes: expected {wanted}; received {format_value(unreadable[0])}"
    return ""


def _problem(task: Task) -> str:
    if task.target.rise or task.problem == "anomaly":
        return ""
    for problem, modality in (("forecasting", "series"), ("generation", "prose")):
        if (task.problem == problem) != (task.modality == modality):
            return f"problem: expected {problem} for {modality} and only then; received {task.problem}"
    if task.problem == "multilabel" and not (task.is_tabular or task.modality in ("text", "image")):
        return f"problem: expected multilabel for a table, texts or images; received {task.modality} columns"
    if task.problem == "translation" and (task.modality != "text" or not task.target.length):
        return "problem: expected for translation a column of text, and target.length; received " + (
            f"{task.modality} columns" if task.modality != "text" else "no target.length"
        )
    if task.problem in ("generation", "masked") and task.target.column not in task.columns:
        return f"target.column: expected {', '.join(task.columns)}, the text itself; received {task.target.column}"
    return _captioning(task) or column_checks.masked_error(task.columns, task.problem)


def _captioning(task: Task) -> str:
    """Check that there is a picture, a bounded caption in words, and no augmentation, which may change what is said."""
    if task.problem != "captioning":
        return ""
    if task.modality != "image":
        return f"problem: expected for captioning a column of images, alone; received {task.modality} columns"
    if not task.target.length or task.target.by != "words":
        received = f"length {task.target.length} and by {task.target.by}"
        return (
            f"target: expected for captioning by: words, and length, the most words of a caption; received {received}"
        )
    if task.train.augment:
        return "train.augment: expected none for captioning, since a caption may name colours and places; received some"
    return ""


def forecast_error(task: Task) -> str:
    """Check that options of forecasts are set only for series."""
    requested = {"horizon": task.target.horizon > 1, "interval": bool(task.target.interval), "rise": task.target.rise}
    for name, value in requested.items():
        if value and task.modality != "series":
            return f"target.{name}: expected only for a series; received {getattr(task.target, name)}"
    if task.target.rise and (task.problem != "classification" or len(task.classes) != 2):
        return f"target.rise: expected for classification with two classes; received {task.problem}, {task.classes}"
    if task.target.interval and task.problem != "forecasting":
        return f"target.interval: expected only for forecasting; received it for {task.problem}"
    return ""


def threshold_error(task: Task) -> str:
    """Check that there are probabilities which a threshold divides."""
    if task.train.threshold and len(task.classes) != 2 and task.problem != "multilabel":
        received = f"it for {len(task.classes)} labels" if task.classes else f"it for {task.problem}"
        return f"train.threshold: expected for two labels, or for several labels of a row; received {received}"
    return ""
