"""Percentile bootstrap: how far a figure would move with other test rows of the same kind.

Rows are drawn one by one with replacement, so an interval holds for rows that are independent given the features.
Of many rows fewer are drawn, for time would grow without telling more: what m rows move by, n rows move by the root of
m/n of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tiltyard.column import Array
from tiltyard.problem import Metric

RESAMPLES = 1000
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


@dataclass(frozen=True)
class Bootstrap:
    """A thousand test sets drawn from one; the same seed draws the same."""

    rows: int
    seed: int
    confidence: float

    def intervals(self, scores: Callable[[Array], Mapping[str, float]]) -> dict[str, Interval]:
        """Give an interval for each figure that `scores` computes from places of rows."""
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
        return Gain(*values, gain, *self._between(gains, gain))

    def _resamples(self) -> Iterator[Array]:
        generator = np.random.default_rng(self.seed)
        for _ in range(RESAMPLES):
            yield generator.integers(0, self.rows, min(self.rows, DRAWN))

    def _between(self, values: list[float], whole: float) -> Interval:
        """Cut off the same share at both ends; `whole` is the figure of all rows."""
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(np.asarray(values, dtype=np.float64), [tail, 1 - tail])
        if self.rows <= DRAWN:
            return float(low), float(high)
        shrunk = math.sqrt(DRAWN / self.rows)
        return whole + float(low - whole) * shrunk, whole + float(high - whole) * shrunk
