"""Metrics of predicted labels: the confusion matrix and the rates of two classes."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.problems.classification import labels, probabilities


def confusion(truth: Array, label: Array, classes: int) -> Array:
    """Return the confusion matrix: true classes in rows, predicted ones in columns."""
    places = truth.astype(np.int64) * classes + label.astype(np.int64)
    return np.bincount(places, minlength=classes * classes).reshape(classes, classes)


def matrix(truth: Array, outputs: Array, threshold: float | None = None) -> Array:
    """Return the confusion matrix of the most probable labels, or of two labels by a threshold."""
    return confusion(truth, labels(outputs, threshold), probabilities(outputs).shape[1])


def binary_metrics(table: Array) -> dict[str, float]:
    """Return the rates of a 2x2 confusion matrix; the second class is the positive one."""
    (right, alarms), (missed, found) = table.tolist()
    rows, ill, well = right + alarms + missed + found, missed + found, right + alarms
    figures = {
        "accuracy": ((right + found), rows),
        "error": ((alarms + missed), rows),
        "recall (true positive rate)": (found, ill),
        "false positive rate": (alarms, well),
        "specificity": (right, well),
        "precision": (found, found + alarms),
        "F1": (2 * found, 2 * found + alarms + missed),
        "prevalence": (ill, rows),
        "error of the more frequent label": (min(ill, well), rows),
    }
    return {name: part / whole if whole else float("nan") for name, (part, whole) in figures.items()}


def finite(value: float) -> float | None:
    """Return the ratio, or None if its denominator is zero."""
    return float(value) if np.isfinite(value) else None
