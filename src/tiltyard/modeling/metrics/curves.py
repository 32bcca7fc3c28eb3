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


class Rates(NamedTuple):
    """The rates at one threshold; NaN where there are no rows to count."""

    true_positive: float
    false_positive: float
    precision: float


class Calibration(NamedTuple):
    """Calibration curve: mean probability, accuracy and count by bin."""

    stated: Array
    came: Array
    rows: Array


def roc(is_member: Array, score: Array) -> Roc:
    """Compute the ROC curve; needs rows of both classes. Ties share a threshold."""
    threshold, true_positives, false_positives = steps(is_member, score)
    members, non_members = int(is_member.sum()), int((~is_member).sum())
    return Roc(
        np.concatenate([[np.inf], threshold]),
        np.concatenate([[0.0], false_positives / non_members]),
        np.concatenate([[0.0], true_positives / members]),
    )


def rates_at(is_member: Array, score: Array, threshold: float) -> Rates:
    """Return the rates if all rows whose score is at least the threshold are predicted as positive."""
    predicted = score.astype(np.float64) >= threshold
    hits, alarms = int((predicted & is_member).sum()), int((predicted & ~is_member).sum())
    counts = (hits, int(is_member.sum())), (alarms, int((~is_member).sum())), (hits, hits + alarms)
    return Rates(*(part / total if total else float("nan") for part, total in counts))


def precision(is_member: Array, score: Array) -> Precision:
    """Compute the precision-recall curve; needs positive rows."""
    threshold, true_positives, false_positives = steps(is_member, score)
    recall = true_positives / int(is_member.sum())
    return Precision(threshold, recall, true_positives / (true_positives + false_positives))


def macro(curves: list[Roc], steps: int = 101) -> Roc:
    """Return the mean of several ROC curves at each false positive rate."""
    rates = np.linspace(0, 1, steps)
    mean = np.mean([_at(curve, rates) for curve in curves], axis=0)
    return Roc(np.full(steps, np.nan), rates, mean)


def calibration(outcome: Array, probability: Array) -> Calibration:
    """Bin predictions by probability into tenths; empty bins are omitted."""
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    rows = np.bincount(bins, minlength=BINS)
    filled = rows > 0
    sums = (np.bincount(bins, weights=values, minlength=BINS)[filled] for values in (probability, outcome))
    mean_probability, frequency = (values / rows[filled] for values in sums)
    return Calibration(mean_probability, frequency, rows[filled])


def thin(values: Array, limit: int) -> Array:
    """Return the indices of at most `limit` points of a curve, both ends included."""
    return np.unique(np.linspace(0, len(values) - 1, min(limit, len(values))).astype(int))


def steps(is_member: Array, score: Array) -> tuple[Array, Array, Array]:
    """Return the thresholds in descending order, and how many positive and negative rows are at or above each."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last = np.flatnonzero(np.diff(ordered, append=-np.inf))  # last row of each tie
    true_positives = np.cumsum(is_member[order])[last]
    return ordered[last], true_positives.astype(np.float64), (last + 1 - true_positives).astype(np.float64)


def _at(curve: Roc, rates: Array) -> Array:
    """Interpolate the curve; at a vertical segment, use its upper end."""
    last = np.flatnonzero(np.diff(curve.false_positive, append=np.inf))
    interpolated: Array = np.interp(rates, curve.false_positive[last], curve.true_positive[last])
    return interpolated
