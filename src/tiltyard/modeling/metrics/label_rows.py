"""Metrics of labels on resamples of rows: what depends on one row only is computed once for all resamples.

`scores.py` defines the metrics; tests/modeling/test_label_rows.py holds these to the same values, bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from tiltyard import threads
from tiltyard.arrays import Array
from tiltyard.modeling.metrics import scores
from tiltyard.modeling.problems.classification import labels as decided

POSITION = np.uint64(0xFFFFFFFF)  # the lower half of a key: the position of a row
HALF = np.uint64(32)  # bits of half a key


class LabelRows:
    """Test rows with truth and probabilities, from which any rows can be drawn and measured."""

    def __init__(
        self, truth: Array, probabilities: Array, rare: int | None = None, threshold: float | None = None
    ) -> None:
        self.classes, self.truth, self.rare = probabilities.shape[1], truth, rare
        likeliest = most_probable(probabilities)
        labels = likeliest if threshold is None else decided(probabilities, threshold)
        shares, places = probabilities.astype(np.float64), truth.astype(np.int64)
        given = shares[np.arange(len(truth)), places]
        cells = places * self.classes + labels  # of the confusion matrix
        logs = np.log(np.clip(given, 1e-15, 1.0))
        squares = (shares**2).sum(axis=1) - 2 * given + 1
        self.by_row = np.stack([cells, logs, squares, likeliest == truth], axis=1)  # side by side: drawn in one go
        self.confidence, self.confidence_keys = _confidence_keys(probabilities)
        of_class = threads.ordered(lambda one: _keys(probabilities[:, one], truth == one), range(self.classes))
        self.class_keys = [*of_class]

    def scores(self, places: Array) -> dict[str, float]:
        """Return the value of every metric on rows."""
        cells, logs, squares, right = np.ascontiguousarray(self.by_row.take(places, axis=0).T)
        table = np.bincount(cells.astype(np.int64), minlength=self.classes**2).reshape(self.classes, self.classes)
        return {
            "accuracy": scores.accuracy(table),
            "balanced_accuracy": scores.balanced_accuracy(table),
            "macro_f1": scores.macro_f1(table),
            "log_loss": float(-np.mean(logs)),
            "brier": float(np.mean(squares)),
            "calibration_error": self._ece(places, right),
            **self._ranked(places),
        }

    def _ece(self, places: Array, right: Array) -> float:
        """Return the expected calibration error; sorting keys is ten times faster than a stable argsort."""
        keys = np.sort(self.confidence_keys.take(places) | np.arange(len(places), dtype=np.uint64))
        sure, right = self.confidence.take(keys >> HALF), right.take(keys & POSITION)
        bins = min(10, len(keys))
        pieces = zip(np.array_split(sure, bins), np.array_split(right, bins), strict=True)
        return float(sum(abs(one.sum() - other.sum()) for one, other in pieces) / len(keys))

    def _ranked(self, places: Array) -> dict[str, float]:
        """Return the metrics that depend on the order of rows by probability: ROC AUC as the mean over the classes."""
        ordered = [np.sort(keys.take(places)) for keys in self.class_keys]
        aucs = [auc for keys in ordered if (auc := _auc(keys)) is not None]
        counts = {label: _steps(ordered[label]) for label in self._rarer(places)}

        def mean(score: Callable[[Array, Array], float]) -> float:
            return float(np.mean([score(*steps) for steps in counts.values()]))

        return {
            "roc_auc": float(np.mean(aucs)) if aucs else 0.5,
            "average_precision": mean(scores.precision_of_steps),
            "recall_at_1pct_fpr": mean(scores.recall_of_steps),
        }

    def _rarer(self, places: Array) -> Iterable[int]:
        """Return the classes whose rows are ranked: the rarer of two, or all."""
        if self.classes != 2:
            return range(self.classes)
        return [int((2 * self.truth.take(places).sum()) < len(places)) if self.rare is None else self.rare]


def most_probable(probabilities: Array) -> Array:
    """Return the first of the most probable labels; NumPy's argmax takes ten times as long for few classes."""
    best, labels = probabilities[:, 0].copy(), np.zeros(len(probabilities), dtype=np.int64)
    for place in range(1, probabilities.shape[1]):
        better = probabilities[:, place] > best
        labels[better] = place
        np.copyto(best, probabilities[:, place], where=better)
    return labels


def _confidence_keys(probabilities: Array) -> tuple[Array, Array]:
    """Return the distinct confidences, sorted, and for each row the rank of its own in the upper half of a key."""
    confidence, ranks = np.unique(probabilities.max(axis=1).astype(np.float64), return_inverse=True)
    return confidence, ranks.astype(np.uint64) << HALF


def _keys(score: Array, inside: Array) -> Array:
    """Return the rank of each score, and in the last bit whether the row is of the class."""
    _, ranks = np.unique(score, return_inverse=True)
    return ranks.astype(np.uint32) << np.uint32(1) | inside.astype(np.uint32)


def _steps(keys: Array) -> tuple[Array, Array]:
    """Return how many rows of the class, and how many others, are at or above each threshold, from sorted keys."""
    inside, ranks = (keys & np.uint32(1))[::-1], (keys >> np.uint32(1))[::-1]
    last = np.flatnonzero(np.append(ranks[1:] != ranks[:-1], True))
    hits = inside.cumsum()[last].astype(np.float64)
    return hits, (last + 1 - hits).astype(np.float64)


def _auc(keys: Array) -> float | None:
    """Count the pairs in the right order, which are sums of positions in sorted keys; None without a pair."""
    above = np.flatnonzero(keys & np.uint32(1))  # among equal scores, rows of the class come last
    members, others = len(above), len(keys) - len(above)
    if not members or not others:
        return None
    strictly = np.flatnonzero(~np.sort(keys ^ np.uint32(1)) & np.uint32(1))  # and here first
    pairs = above.sum() + strictly.sum() - members * (members - 1)
    return float(pairs / (2 * members * others))
