"""Checks of a task file that finds anomalies: its labels, its split, and settings that only it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiltyard.config.task import Task


def find_error(task: Task) -> str:
    """Return the first setting that conflicts with the rest of the task: key, expected, received; or empty."""
    if task.problem_type.targets != "anomaly":
        for key, value in (("target.normal", task.target.normal), ("train.anomaly", task.train.anomaly)):
            if value:
                return f"{key}: expected only for the problem anomaly; received it for {task.problem}"
        return ""
    return _target(task) or _split(task) or _series(task)


def _target(task: Task) -> str:
    """Check that rows have labels of normal ones, or none."""
    target = task.target
    if target.columns or target.classes or target.threshold is not None or target.log or target.written:
        return "target: expected column and normal, the labels of normal rows, for the problem anomaly; received others"
    if bool(target.column) != bool(target.normal):
        received = "a column" if target.column else "labels"
        return f"target: expected a column with normal, the labels of normal rows, or neither; received {received} only"
    if target.column in task.columns:
        return f"columns.{target.column}: expected features only; this is the target"
    if target.span == "window" and task.modality != "series":
        return f"target.span: expected window only for a series; received it for {task.modality} columns"
    return ""


def _split(task: Task) -> str:
    if task.split.kind not in ("random", "chronological", "given"):
        return (
            "split.kind: expected random, chronological or given for the problem anomaly, whose training rows are all "
            f"normal; received {task.split.kind}"
        )
    return ""


def _series(task: Task) -> str:
    """Check that windows are reconstructed as they are, with a label for each step."""
    for name, column in task.columns.items():
        if getattr(column, "relative", False):
            return f"columns.{name}.relative: expected false for the problem anomaly, which reconstructs windows"
        if getattr(column, "gaps", "refuse") != "refuse" and task.target.column:
            return f"columns.{name}.gaps: expected refuse, since a step that is filled in has no label"
        if getattr(column, "same_time", "refuse") != "refuse" and task.target.column:
            return f"columns.{name}.same_time: expected refuse, since rows of one time may have different labels"
    return ""
