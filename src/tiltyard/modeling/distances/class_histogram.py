"""How samples are spread over classes, compared with real rows, by the labels that a classifier gives to both."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array


def class_shares(labels: Array, classes: int) -> Array:
    """Return the share of each class among label indices."""
    return np.asarray(np.bincount(labels, minlength=classes) / max(len(labels), 1))


def histogram_distance(first: Array, second: Array, classes: int) -> float:
    """Return the total variation of two samples of label indices: the share that would have to change its class."""
    return float(np.abs(class_shares(first, classes) - class_shares(second, classes)).sum() / 2)


def missing_classes(labels: Array, expected: Array, least: float = 0.1) -> Array:
    """Return the classes of which samples have less than a share of what is expected of them."""
    return np.flatnonzero(class_shares(labels, len(expected)) < least * expected)
