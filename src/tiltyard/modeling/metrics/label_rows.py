"""Metrics of labels on resamples of rows: values that depend on one row only are computed once for all resamples.

`scores.py` defines the metrics; tests/modeling/test_label_rows.py compares the values bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.metrics import scores
from tiltyard.modeling.problems.base import Threshold
from tiltyard.modeling.problems.classification import labels as decided
from tiltyard.runtime import threads

POSITION_MASK = np.uint64(0xFFFFFFFF)  # the lower half of a key: the position of a row
HALF_BITS = np.uint64(32)  # bits of half a key


class LabelRows:
    """Test rows with truth and probabilities, from which any rows can be drawn and measured."""

    def __init__(
        self, truth: Array, probabilities: Array, rare: int | None = None, threshold: Threshold | None = None
    ) -> None:
        self.classes, self.truth, self.rare = probabilities.shape[1], truth, rare
        likeliest = most_probable(probabilities)
        labels = likeliest if threshold is None else decided(probabilities, threshold)
        class_probabilities, classes = probabilities.astype(np.float64), truth.astype(np.int64)
        true_probability = class_probabilities[np.arange(len(truth)), classes]
        cells = classes * self.classes + labels  # of the confusion matrix
        log_probabilities = np.log(np.clip(true_probability, 1e-15, 1.0))
        squares = (class_probabilities**2).sum(axis=1) - 2 * true_probability + 1
        # in one array, so that a resample takes them all at once
        self.by_row = np.stack([cells, log_probabilities, squares, likeliest == truth], axis=1)
        self.confidence, self.confidence_keys = _confidence_keys(probabilities)
        class_keys = threads.ordered(lambda index: _keys(probabilities[:, index], truth == index), range(self.classes))
        self.class_keys = [*class_keys]

    def scores(self, rows: Array) -> dict[str, float]:
        """Return the value of every metric on rows."""
        cells, log_probabilities, squares, correct = np.ascontiguousarray(self.by_row.take(rows, axis=0).T)
        table = np.bincount(cells.astype(np.int64), minlength=self.classes**2).reshape(self.classes, self.classes)
        return {
            "accuracy": scores.accuracy(table),
            "balanced_accuracy": scores.balanced_accuracy(table),
            "macro_f1": scores.macro_f1(table),
            "log_loss": float(-np.mean(log_probabilities)),
            "brier": float(np.mean(squares)),
            "calibration_error": self._ece(rows, correct),
            **self._ranked(rows),
        }

    def _ece(self, rows: Array, correct: Array) -> float:
        """Return the expected calibration error; sorting keys is ten times faster than a stable argsort."""
        keys = np.sort(self.confidence_keys.take(rows) | np.arange(len(rows), dtype=np.uint64))
        confidence, correct = self.confidence.take(keys >> HALF_BITS), correct.take(keys & POSITION_MASK)
        bins = min(10, len(keys))
        pairs = zip(np.array_split(confidence, bins), np.array_split(correct, bins), strict=True)
        return float(sum(abs(confidences.sum() - hits.sum()) for confidences, hits in pairs) / len(keys))

    def _ranked(self, rows: Array) -> dict[str, float]:
        """Return the metrics that depend on the order of rows by probability: ROC AUC as the mean over the classes."""
        ordered = [np.sort(keys.take(rows)) for keys in self.class_keys]
        aucs = [auc for keys in ordered if (auc := _auc(keys)) is not None]
        counts = {label: _steps(ordered[label]) for label in self._rarer(rows)}

        def mean(score: Callable[[Array, Array], float]) -> float:
            return float(np.mean([score(*steps) for steps in counts.values()]))

        return {
            "roc_auc": float(np.mean(aucs)) if aucs else 0.5,
            "average_precision": mean(scores.precision_of_steps),
            "recall_at_1pct_fpr": mean(scores.recall_of_steps),
        }

    def _rarer(self, rows: Array) -> Iterable[int]:
        """Return the classes whose rows are ranked: the rarer of two, or all."""
        if self.classes != 2:
            return range(self.classes)
        return [int((2 * self.truth.take(rows).sum()) < len(rows)) if self.rare is None else self.rare]


def most_probable(probabilities: Array) -> Array:
    """Return the first of the most probable labels; NumPy's argmax takes ten times as long for few classes."""
    best, labels = probabilities[:, 0].copy(), np.zeros(len(probabilities), dtype=np.int64)
    for index in range(1, probabilities.shape[1]):
        better = probabilities[:, index] > best
        labels[better] = index
        np.copyto(best, probabilities[:, index], where=better)
    return labels


def _confidence_keys(probabilities: Array) -> tuple[Array, Array]:
    """Return the sorted distinct confidences, and a key of each row with its rank among them in the upper half."""
    confidence, ranks = np.unique(probabilities.max(axis=1).astype(np.float64), return_inverse=True)
    return confidence, ranks.astype(np.uint64) << HALF_BITS


def _keys(score: Array, is_member: Array) -> Array:
    """Return the rank of each score, and in the last bit whether the row is of the class."""
    _, ranks = np.unique(score, return_inverse=True)
    return ranks.astype(np.uint32) << np.uint32(1) | is_member.astype(np.uint32)


def _steps(keys: Array) -> tuple[Array, Array]:
    """Return how many rows of the class, and how many others, are at or above each threshold, from sorted keys."""
    inside, ranks = (keys & np.uint32(1))[::-1], (keys >> np.uint32(1))[::-1]
    last = np.flatnonzero(np.append(ranks[1:] != ranks[:-1], True))
    hits = inside.cumsum()[last].astype(np.float64)
    return hits, (last + 1 - hits).astype(np.float64)


def _auc(keys: Array) -> float | None:
    """Return the share of pairs in the right order, by sums of positions of sorted keys; None without pairs."""
    positions = np.flatnonzero(keys & np.uint32(1))  # among equal scores, rows of the class come last
    members, non_members = len(positions), len(keys) - len(positions)
    if not members or not non_members:
        return None
    strict_positions = np.flatnonzero(~np.sort(keys ^ np.uint32(1)) & np.uint32(1))  # and first here
    pairs = positions.sum() + strict_positions.sum() - members * (members - 1)
    return float(pairs / (2 * members * non_members))
