"""Percentile bootstrap: how far a figure would move with other test rows of the same kind.

Rows are drawn one by one with replacement, so an interval holds for rows that are independent given the features.
Of many rows fewer are drawn, for time would grow without telling more: what m rows move by, n rows move by the root of
m/n of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.metrics.base import Metric

RESAMPLES = 1000
MIN_TAIL = 10  # resamples beyond an end, for it to be read off them
POWER = 0.83  # asked for, that four times in five may be kept: the width it is worked out from is itself an estimate
DRAWN = 50_000  # rows of a resample at most
Interval = tuple[float, float]


@dataclass(frozen=True)
class Gain:
    """By how much one model beats another on the same rows; negative if it is beaten."""

    new: float
    old: float
    value: float
    low: float
    high: float

    @property
    def proven(self) -> bool:
        """Whether the whole interval lies above zero."""
        return self.low > 0

    def seen(self, confidence: float, power: float = POWER) -> float:
        """Return the gain that rows like these would prove four times in five: by the width of the interval."""
        curve = NormalDist()
        ends = curve.inv_cdf((1 + confidence) / 2)
        return (self.high - self.low) / 2 / ends * (ends + curve.inv_cdf(power))


@dataclass(frozen=True)
class Bootstrap:
    """A thousand test sets drawn from one; the same seed draws the same."""

    rows: int
    seed: int
    confidence: float

    def intervals(self, scores: Callable[[Array], Mapping[str, float]]) -> dict[str, Interval]:
        """Return an interval for each figure that `scores` computes from places of rows."""
        drawn = [scores(places) for places in self._resamples()]
        whole = scores(np.arange(self.rows)) if self.rows > DRAWN else {}
        return {name: self._between([some[name] for some in drawn], whole.get(name, 0.0)) for name in drawn[0]}

    def gain(self, metric: Metric, score: Callable[[Array, Array], float], new: Array, old: Array) -> Gain:
        """Compare two models' outputs by `score(outputs, places)`.

        Both meet the same rows in each resample, so luck with the rows cancels out.
        """
        gains = [metric.gain(score(new, places), score(old, places)) for places in self._resamples()]
        everything = np.arange(self.rows)
        values = score(new, everything), score(old, everything)
        gain = metric.gain(*values)
        return Gain(*values, gain, *self._between(gains, gain, self._widest))

    def _resamples(self) -> Iterator[Array]:
        generator = np.random.default_rng(self.seed)
        for _ in range(RESAMPLES):
            yield generator.integers(0, self.rows, min(self.rows, DRAWN))

    def _between(self, values: list[float], whole: float, ends: Callable[[Array], Interval] | None = None) -> Interval:
        """Cut off the same share at both ends; `whole` is the figure of all rows."""
        low, high = (ends or self._ends)(np.asarray(values, dtype=np.float64))
        if self.rows <= DRAWN:
            return low, high
        shrunk = math.sqrt(DRAWN / self.rows)
        return whole + (low - whole) * shrunk, whole + (high - whole) * shrunk

    def _ends(self, values: Array) -> Interval:
        """Return quantiles; far out, where hardly a resample lies, those of the normal curve through the rest."""
        tail = (1 - self.confidence) / 2
        if tail * len(values) < MIN_TAIL:
            return self._curve(values)
        low, high = np.quantile(values, [tail, 1 - tail])
        return float(low), float(high)

    def _curve(self, values: Array) -> Interval:
        wide = NormalDist().inv_cdf((1 + self.confidence) / 2) * float(values.std())
        return float(values.mean()) - wide, float(values.mean()) + wide

    def _widest(self, values: Array) -> Interval:
        """Return the wider of both at each end: by one of them alone equal models won more often than they should."""
        some, others = self._ends(values), self._curve(values)
        return min(some[0], others[0]), max(some[1], others[1])
