"""Curves over all thresholds: ROC, precision-recall and calibration."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tiltyard.arrays import Array

BINS = 10  # of predicted probabilities


class Roc(NamedTuple):
    """ROC curve: false and true positive rate at each threshold."""

    threshold: Array
    false_positive: Array
    true_positive: Array

    @property
    def area(self) -> float:
        """Return the area under the curve."""
        return float(np.trapezoid(self.true_positive, self.false_positive))


class Precision(NamedTuple):
    """Precision-recall curve: recall and precision at each threshold."""

    threshold: Array
    recall: Array
    precision: Array

    @property
    def average(self) -> float:
        """Return the average precision, weighted by the increase of recall."""
        return float(np.sum(np.diff(self.recall, prepend=0) * self.precision))


class Calibration(NamedTuple):
    """Calibration curve: mean probability, accuracy and count by bin."""

    stated: Array
    came: Array
    rows: Array


def roc(inside: Array, score: Array) -> Roc:
    """Compute the ROC curve; needs rows of both classes. Ties share a threshold."""
    threshold, hits, alarms = steps(inside, score)
    members, others = int(inside.sum()), int((~inside).sum())
    return Roc(
        np.concatenate([[np.inf], threshold]),
        np.concatenate([[0.0], alarms / others]),
        np.concatenate([[0.0], hits / members]),
    )


def precision(inside: Array, score: Array) -> Precision:
    """Compute the precision-recall curve; needs positive rows."""
    threshold, hits, alarms = steps(inside, score)
    return Precision(threshold, hits / int(inside.sum()), hits / (hits + alarms))


def macro(curves: list[Roc], steps: int = 101) -> Roc:
    """Return the mean of several ROC curves at each false positive rate."""
    across = np.linspace(0, 1, steps)
    found = np.mean([_at(curve, across) for curve in curves], axis=0)
    return Roc(np.full(steps, np.nan), across, found)


def calibration(came: Array, stated: Array) -> Calibration:
    """Bin predictions by probability into tenths; empty bins are omitted."""
    span = np.minimum((stated * BINS).astype(int), BINS - 1)
    rows = np.bincount(span, minlength=BINS)
    kept = rows > 0
    said, was = (np.bincount(span, weights=values, minlength=BINS)[kept] / rows[kept] for values in (stated, came))
    return Calibration(said, was, rows[kept])


def thin(values: Array, most: int) -> Array:
    """Thin out the points of a curve for drawing; keep both ends."""
    return np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).astype(int))


def steps(inside: Array, score: Array) -> tuple[Array, Array, Array]:
    """Return the thresholds in descending order, and how many positive and negative rows are at or above each."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last = np.flatnonzero(np.diff(ordered, append=-np.inf))  # last row of each tie
    hits = np.cumsum(inside[order])[last]
    return ordered[last], hits.astype(np.float64), (last + 1 - hits).astype(np.float64)


def _at(curve: Roc, across: Array) -> Array:
    """Interpolate the curve; at a vertical segment, use its upper end."""
    last = np.flatnonzero(np.diff(curve.false_positive, append=np.inf))
    found: Array = np.interp(across, curve.false_positive[last], curve.true_positive[last])
    return found
