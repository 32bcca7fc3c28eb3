"""Percentile bootstrap: confidence intervals of metrics and of gains over the test rows.

Rows are drawn one by one with replacement, so an interval is valid for rows that are independent given the features.
Of many rows, only a part (m of n) is drawn to save time; the width of the interval is then scaled by the square root of
m/n.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

import numpy as np

from tiltyard import threads
from tiltyard.arrays import Array
from tiltyard.modeling.metrics.base import Metric

RESAMPLES = 1000
MIN_TAIL = 10  # resamples needed beyond a quantile to estimate it
POWER = 0.83  # nominal power, so that the real one is 0.8 although the width is an estimate
DRAWN = 50_000  # most rows per resample
MANY = 5_000  # rows from which threads save more time than they cost
Interval = tuple[float, float]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Gain:
    """The gain of one model over another on the same rows, with its interval."""

    new: float
    old: float
    value: float
    low: float
    high: float

    @property
    def proven(self) -> bool:
        """Return whether the whole interval is above zero."""
        return self.low > 0

    def detectable_gain(self, confidence: float, power: float = POWER) -> float:
        """Return the gain that these rows detect with a power of 80 %, from the width of the interval."""
        curve = NormalDist()
        ends = curve.inv_cdf((1 + confidence) / 2)
        return (self.high - self.low) / 2 / ends * (ends + curve.inv_cdf(power))


@dataclass(frozen=True)
class Bootstrap:
    """Resamples of the test rows, with a fixed seed."""

    rows: int
    seed: int
    confidence: float

    def intervals(self, scores: Callable[[Array], Mapping[str, float]]) -> dict[str, Interval]:
        """Return an interval for each value that `scores` computes from row indices."""
        drawn = self._of_resamples(scores)
        whole = scores(np.arange(self.rows)) if self.rows > DRAWN else {}
        return {name: self._between([some[name] for some in drawn], whole.get(name, 0.0)) for name in drawn[0]}

    def gain(self, metric: Metric, score: Callable[[Array, Array], float], new: Array, old: Array) -> Gain:
        """Compare the outputs of two models by `score(outputs, places)`.

        Both models are measured on the same rows in each resample, so the choice of rows cancels out.
        """
        gains = self._of_resamples(lambda places: metric.gain(score(new, places), score(old, places)))
        everything = np.arange(self.rows)
        values = score(new, everything), score(old, everything)
        gain = metric.gain(*values)
        return Gain(*values, gain, *self._between(gains, gain, self._widest))

    def _of_resamples(self, function: Callable[[Array], Value]) -> list[Value]:
        """Return the values for all resamples; of many rows, several resamples are measured at a time."""
        if self.rows < MANY:
            return [function(places) for places in self._resamples()]
        return [*threads.ordered(function, self._resamples())]

    def _resamples(self) -> Iterator[Array]:
        generator = np.random.default_rng(self.seed)
        for _ in range(RESAMPLES):
            yield generator.integers(0, self.rows, min(self.rows, DRAWN))

    def _between(self, values: list[float], whole: float, ends: Callable[[Array], Interval] | None = None) -> Interval:
        """Return the equal-tailed interval; `whole` is the value on all rows."""
        low, high = (ends or self._ends)(np.asarray(values, dtype=np.float64))
        if self.rows <= DRAWN:
            return low, high
        shrunk = math.sqrt(DRAWN / self.rows)
        return whole + (low - whole) * shrunk, whole + (high - whole) * shrunk

    def _ends(self, values: Array) -> Interval:
        """Return quantiles; in the far tails, those of a normal distribution fitted to the resamples."""
        tail = (1 - self.confidence) / 2
        if tail * len(values) < MIN_TAIL:
            return self._curve(values)
        low, high = np.quantile(values, [tail, 1 - tail])
        return float(low), float(high)

    def _curve(self, values: Array) -> Interval:
        wide = NormalDist().inv_cdf((1 + self.confidence) / 2) * float(values.std())
        return float(values.mean()) - wide, float(values.mean()) + wide

    def _widest(self, values: Array) -> Interval:
        """Return the wider of quantile and normal interval at each end; either alone is too narrow."""
        some, others = self._ends(values), self._curve(values)
        return min(some[0], others[0]), max(some[1], others[1])
