"""Metrics of labels on resamples of rows: what depends on one row only is computed once for all resamples.

`scores.py` defines the metrics; tests/modeling/test_label_rows.py holds these to the same values, bit by bit.
"""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.metrics import scores

POSITION = np.uint64(0xFFFFFFFF)  # the lower half of a key: the position of a row


class LabelRows:
    """Test rows with truth and probabilities, from which any rows can be drawn and measured."""

    def __init__(self, truth: Array, probabilities: Array) -> None:
        self.classes = probabilities.shape[1]
        labels = most_probable(probabilities)
        shares, places = probabilities.astype(np.float64), truth.astype(np.int64)
        given = shares[np.arange(len(truth)), places]
        self.cells = places * self.classes + labels
        self.logs = np.log(np.clip(given, 1e-15, 1.0))
        self.squares = (shares**2).sum(axis=1) - 2 * given + 1
        self.right = (labels == truth).astype(np.float64)
        self.confidence, ranks = np.unique(probabilities.max(axis=1).astype(np.float64), return_inverse=True)
        self.confidence_keys = ranks.astype(np.uint64) << np.uint64(32)
        self.class_keys = [_keys(probabilities[:, place], truth == place) for place in range(self.classes)]

    def matrix(self, places: Array) -> Array:
        """Return the confusion matrix of rows."""
        count = self.classes * self.classes
        return np.bincount(self.cells[places], minlength=count).reshape(self.classes, self.classes)

    def log_loss(self, places: Array) -> float:
        """Return the log loss of rows."""
        return float(-np.mean(self.logs[places]))

    def brier(self, places: Array) -> float:
        """Return the Brier score of rows."""
        return float(np.mean(self.squares[places]))

    def ece(self, places: Array) -> float:
        """Return the expected calibration error of rows; sorting keys is ten times faster than a stable argsort."""
        keys = np.sort(self.confidence_keys[places] | np.arange(len(places), dtype=np.uint64))
        sure = self.confidence[keys >> np.uint64(32)]
        right = self.right[places][keys & POSITION]
        bins = min(10, len(keys))
        pieces = zip(np.array_split(sure, bins), np.array_split(right, bins), strict=True)
        return float(sum(abs(one.sum() - other.sum()) for one, other in pieces) / len(keys))

    def roc_auc(self, places: Array) -> float:
        """Return the ROC AUC of rows, as the mean over the classes."""
        aucs = [auc for keys in self.class_keys if (auc := _auc(keys[places])) is not None]
        return float(np.mean(aucs)) if aucs else 0.5

    def scores(self, places: Array) -> dict[str, float]:
        """Return the value of every metric."""
        table = self.matrix(places)
        return {
            "accuracy": scores.accuracy(table),
            "balanced_accuracy": scores.balanced_accuracy(table),
            "macro_f1": scores.macro_f1(table),
            "log_loss": self.log_loss(places),
            "brier": self.brier(places),
            "calibration_error": self.ece(places),
            "roc_auc": self.roc_auc(places),
        }


def most_probable(probabilities: Array) -> Array:
    """Return the first of the most probable labels; NumPy's argmax takes ten times as long for few classes."""
    best, labels = probabilities[:, 0].copy(), np.zeros(len(probabilities), dtype=np.int64)
    for place in range(1, probabilities.shape[1]):
        better = probabilities[:, place] > best
        labels[better] = place
        np.copyto(best, probabilities[:, place], where=better)
    return labels


def _keys(score: Array, inside: Array) -> Array:
    """Return the rank of each score, and in the last bit whether the row is of the class."""
    _, ranks = np.unique(score, return_inverse=True)
    return ranks.astype(np.uint32) << np.uint32(1) | inside.astype(np.uint32)


def _auc(keys: Array) -> float | None:
    """Count the pairs in the right order, which are sums of positions after sorting; None without a pair."""
    above = np.flatnonzero(np.sort(keys) & np.uint32(1))  # among equal scores, rows of the class come last
    members, others = len(above), len(keys) - len(above)
    if not members or not others:
        return None
    strictly = np.flatnonzero(~np.sort(keys ^ np.uint32(1)) & np.uint32(1))  # and here first
    pairs = above.sum() + strictly.sum() - members * (members - 1)
    return float(pairs / (2 * members * others))
