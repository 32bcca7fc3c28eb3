"""Metrics of predicted labels: the confusion matrix and the rates of two classes."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.problems.base import Threshold
from tiltyard.modeling.problems.classification import labels, probabilities


def confusion(truth: Array, label: Array, classes: int) -> Array:
    """Return the confusion matrix: true classes in rows, predicted ones in columns."""
    cells = truth.astype(np.int64) * classes + label.astype(np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def matrix(truth: Array, outputs: Array, threshold: Threshold | None = None) -> Array:
    """Return the confusion matrix of the most probable labels, or of two labels by a threshold."""
    return confusion(truth, labels(outputs, threshold), probabilities(outputs).shape[1])


def binary_metrics(table: Array) -> dict[str, float]:
    """Return the rates of a 2x2 confusion matrix; the second class is the positive one."""
    (true_negatives, false_positives), (false_negatives, true_positives) = table.tolist()
    positives, negatives = false_negatives + true_positives, true_negatives + false_positives
    rows = negatives + positives
    ratios = {
        "accuracy": ((true_negatives + true_positives), rows),
        "error": ((false_positives + false_negatives), rows),
        "recall (true positive rate)": (true_positives, positives),
        "false positive rate": (false_positives, negatives),
        "specificity": (true_negatives, negatives),
        "precision": (true_positives, true_positives + false_positives),
        "F1": (2 * true_positives, 2 * true_positives + false_positives + false_negatives),
        "prevalence": (positives, rows),
        "error of the more frequent label": (min(positives, negatives), rows),
    }
    return {name: part / total if total else float("nan") for name, (part, total) in ratios.items()}


def finite(ratio: float) -> float | None:
    """Return the ratio, or None if its denominator is zero."""
    return float(ratio) if np.isfinite(ratio) else None
