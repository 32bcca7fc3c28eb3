"""Curves over all thresholds: what a classifier finds and falsely alarms, how precise it is, how honest its shares."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tiltyard.arrays import Array

BINS = 10  # of stated probabilities


class Roc(NamedTuple):
    """Share of the others and of the members that score at least each threshold, from none to all."""

    threshold: Array
    false_positive: Array
    true_positive: Array

    @property
    def area(self) -> float:
        """What lies below the curve."""
        return float(np.trapezoid(self.true_positive, self.false_positive))


class Precision(NamedTuple):
    """Share of the members found, and of what is found that is a member, at each threshold."""

    threshold: Array
    recall: Array
    precision: Array

    @property
    def average(self) -> float:
        """Precision on the average, each threshold weighing what it adds to the recall."""
        return float(np.sum(np.diff(self.recall, prepend=0) * self.precision))


class Calibration(NamedTuple):
    """Of answers about as sure as each other: what they say, how often they are right, and how many there are."""

    stated: Array
    came: Array
    rows: Array


def roc(inside: Array, score: Array) -> Roc:
    """Go through all thresholds; needs members and others. Rows that score alike are found together."""
    threshold, hits, alarms = _steps(inside, score)
    members, others = int(inside.sum()), int((~inside).sum())
    return Roc(
        np.concatenate([[np.inf], threshold]),
        np.concatenate([[0.0], alarms / others]),
        np.concatenate([[0.0], hits / members]),
    )


def precision(inside: Array, score: Array) -> Precision:
    """Go through all thresholds; needs members."""
    threshold, hits, alarms = _steps(inside, score)
    return Precision(threshold, hits / int(inside.sum()), hits / (hits + alarms))


def macro(curves: list[Roc], steps: int = 101) -> Roc:
    """Return the mean of several curves: what is found on the average at each share of false alarms."""
    across = np.linspace(0, 1, steps)
    found = np.mean([_at(curve, across) for curve in curves], axis=0)
    return Roc(np.full(steps, np.nan), across, found)


def calibration(came: Array, stated: Array) -> Calibration:
    """Part answers by what they state into spans of a tenth; a span without rows is left out."""
    span = np.minimum((stated * BINS).astype(int), BINS - 1)
    rows = np.bincount(span, minlength=BINS)
    kept = rows > 0
    said, was = (np.bincount(span, weights=values, minlength=BINS)[kept] / rows[kept] for values in (stated, came))
    return Calibration(said, was, rows[kept])


def thin(values: Array, most: int) -> Array:
    """Choose places along a curve, so that no more are drawn than can be told apart; both ends are kept."""
    return np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).astype(int))


def _steps(inside: Array, score: Array) -> tuple[Array, Array, Array]:
    """Count members and others that score at least each threshold, the highest first."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last = np.flatnonzero(np.diff(ordered, append=-np.inf))  # of rows that score alike
    hits = np.cumsum(inside[order])[last]
    return ordered[last], hits.astype(np.float64), (last + 1 - hits).astype(np.float64)


def _at(curve: Roc, across: Array) -> Array:
    """Read the curve off; where it rises straight up, its upper end counts."""
    last = np.flatnonzero(np.diff(curve.false_positive, append=np.inf))
    found: Array = np.interp(across, curve.false_positive[last], curve.true_positive[last])
    return found
