"""Percentile bootstrap: confidence intervals of metrics and of gains over the test rows.

Rows are drawn one by one with replacement, so an interval is valid for rows that are independent given the features.
If there are many rows, a resample has only m of the n rows (m-out-of-n bootstrap), which saves time. The width of the
interval is then multiplied by the square root of m/n.
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
POWER = 0.83  # nominal power, which gives an actual power of 0.8, since the width is an estimate
DRAWN = 50_000  # of a resample
THREADED_ROWS = 5_000  # with as many rows, threads save more time than they cost
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
        """Return the smallest gain that these rows detect with a power of 80 %, from the width of the interval."""
        normal = NormalDist()
        quantile = normal.inv_cdf((1 + confidence) / 2)
        return (self.high - self.low) / 2 / quantile * (quantile + normal.inv_cdf(power))


@dataclass(frozen=True)
class Bootstrap:
    """Resamples of the test rows, with a fixed seed."""

    rows: int
    seed: int
    confidence: float

    def intervals(self, scores: Callable[[Array], Mapping[str, float]]) -> dict[str, Interval]:
        """Return an interval for each value that `scores` computes from row indices."""
        resampled = self._resampled_values(scores)
        all_rows = scores(np.arange(self.rows)) if self.rows > DRAWN else {}
        return {
            name: self._interval([values[name] for values in resampled], all_rows.get(name, 0.0))
            for name in resampled[0]
        }

    def gain(self, metric: Metric, score: Callable[[Array, Array], float], new: Array, old: Array) -> Gain:
        """Compare the outputs of two models by `score(outputs, rows)`.

        Both models are measured on the same rows in each resample, so the choice of rows cancels out.
        """
        gains = self._resampled_values(lambda rows: metric.gain(score(new, rows), score(old, rows)))
        all_rows = np.arange(self.rows)
        values = score(new, all_rows), score(old, all_rows)
        gain = metric.gain(*values)
        return Gain(*values, gain, *self._interval(gains, gain, self._widest_ends))

    def _resampled_values(self, function: Callable[[Array], Value]) -> list[Value]:
        """Return the value of each resample; use threads if there are many rows."""
        if self.rows < THREADED_ROWS:
            return [function(rows) for rows in self._resamples()]
        return [*threads.ordered(function, self._resamples())]

    def _resamples(self) -> Iterator[Array]:
        generator = np.random.default_rng(self.seed)
        for _ in range(RESAMPLES):
            yield generator.integers(0, self.rows, min(self.rows, DRAWN))

    def _interval(
        self, values: list[float], estimate: float, ends: Callable[[Array], Interval] | None = None
    ) -> Interval:
        """Return the equal-tailed interval; `estimate` is the value on all rows."""
        low, high = (ends or self._ends)(np.asarray(values, dtype=np.float64))
        if self.rows <= DRAWN:
            return low, high
        factor = math.sqrt(DRAWN / self.rows)
        return estimate + (low - estimate) * factor, estimate + (high - estimate) * factor

    def _ends(self, values: Array) -> Interval:
        """Return quantiles of the resamples; far in the tails, those of a fitted normal distribution."""
        tail = (1 - self.confidence) / 2
        if tail * len(values) < MIN_TAIL:
            return self._normal_ends(values)
        low, high = np.quantile(values, [tail, 1 - tail])
        return float(low), float(high)

    def _normal_ends(self, values: Array) -> Interval:
        half_width = NormalDist().inv_cdf((1 + self.confidence) / 2) * float(values.std())
        return float(values.mean()) - half_width, float(values.mean()) + half_width

    def _widest_ends(self, values: Array) -> Interval:
        """Return the outer end of the quantile and the normal interval on each side; each alone is too narrow."""
        quantiles, normal = self._ends(values), self._normal_ends(values)
        return min(quantiles[0], normal[0]), max(quantiles[1], normal[1])
