"""Percentile bootstrap: confidence intervals of metrics and of gains over the test rows.

Rows are drawn one by one with replacement, so an interval is valid for rows that are independent given the features.
Of rows that depend on one another, blocks or groups are drawn (dependence.py), and the ends use Student's t. Of many
rows, only a part (m of n) is drawn to save time; the width of the interval is then scaled by the square root of m/n.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import TypeVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.metrics.base import Metric
from tiltyard.modeling.metrics.dependence import LEAST_UNITS, Blocks, Dependence
from tiltyard.runtime import threads

RESAMPLES = 1000
MIN_TAIL = 10  # resamples needed beyond a quantile to estimate it
POWER = 0.83  # nominal power, so that the real one is 0.8 although the width is an estimate
DRAWN = 50_000  # most rows per resample
MANY = 5_000  # rows from which threads save more time than they cost
Interval = tuple[float, float]
UNKNOWN = (-math.inf, math.inf)  # the interval of rows that are too dependent for any
Value = TypeVar("Value")


@dataclass(frozen=True)
class Gain:
    """The gain of one model over another on the same rows, with its interval."""

    new: float
    old: float
    value: float
    low: float
    high: float
    units: float | None = None  # independent groups or blocks that the rows are worth; None if rows are independent

    @property
    def proven(self) -> bool:
        """Return whether the whole interval is above zero."""
        return self.low > 0

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """Return the interval as JSON; no numbers if there are too few independent rows for one."""
        return (self.low, self.high) if math.isfinite(self.low) and math.isfinite(self.high) else (None, None)

    @property
    def degrees(self) -> float:
        """Return the degrees of freedom of the interval; 0 if there is none, infinity for independent rows."""
        return math.inf if self.units is None else self.units - 1 if self.units >= LEAST_UNITS else 0.0

    def detectable_gain(self, confidence: float, power: float = POWER) -> float:
        """Return the gain that these rows detect with a power of 80 %, from the width of the interval."""
        quantile = NormalDist().inv_cdf if self.units is None else _student(max(self.degrees, 1.0))
        ends = quantile((1 + confidence) / 2)
        return (self.high - self.low) / 2 / ends * (ends + quantile(power))

    def to_json(self) -> dict[str, float] | None:
        """Return it as JSON; None if the rows give no interval."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        return values if all(map(math.isfinite, values.values())) else None


@dataclass(frozen=True)
class Bootstrap:
    """Resamples of the test rows, with a fixed seed."""

    rows: int
    seed: int
    confidence: float
    dependence: Dependence | None = None  # between rows; None if they are independent
    complete: bool = False  # the rows are all that exist: nothing is drawn, and each interval is the value itself

    def intervals(self, scores: Callable[[Array], Mapping[str, float]]) -> dict[str, Interval]:
        """Return an interval for each value that `scores` computes from row indices."""
        if self.dependence:
            blocks = self.dependence.blocks(lambda places: np.array([*scores(places).values()]))
            return self._of_blocks(blocks).intervals(scores)
        drawn = self._of_resamples(scores)
        full_scores = scores(np.arange(self.rows)) if self.rows > DRAWN else {}
        return {
            name: self._between([sample[name] for sample in drawn], full_scores.get(name, 0.0)) for name in drawn[0]
        }

    def gain(
        self,
        metric: Metric,
        score: Callable[[Array, Array], float],
        new: Array,
        old: Array,
        score_of_old: Callable[[Array, Array], float] | None = None,
    ) -> Gain:
        """Compare the outputs of two models by `score(outputs, places)`, or the old one by its own score.

        Both models are measured on the same rows in each resample, so the choice of rows cancels out.
        """

        def of_rows(places: Array) -> float:
            return metric.gain(score(new, places), old_score(old, places))

        old_score, everything = score_of_old or score, np.arange(self.rows)
        values = score(new, everything), old_score(old, everything)
        gain = metric.gain(*values)
        if self.dependence:
            blocks = self.dependence.blocks(lambda places: np.array([of_rows(places)]))
            return Gain(*values, gain, *self._of_blocks(blocks).around(of_rows), blocks.independent)
        gains = self._of_resamples(of_rows)
        return Gain(*values, gain, *self._between(gains, gain, self._widest))

    def _of_blocks(self, blocks: Blocks) -> BlockBootstrap:
        return BlockBootstrap(blocks, self.seed, self.confidence)

    def _of_resamples(self, function: Callable[[Array], Value]) -> list[Value]:
        """Return the values for all resamples; of many rows, several resamples are measured at a time."""
        return _measured(function, self._resamples(), self.rows)

    def _resamples(self) -> Iterator[Array]:
        if self.complete:
            yield np.arange(self.rows)
            return
        generator = np.random.default_rng(self.seed)
        for _ in range(RESAMPLES):
            yield generator.integers(0, self.rows, min(self.rows, DRAWN))

    def _between(
        self, values: list[float], full_value: float, ends: Callable[[Array], Interval] | None = None
    ) -> Interval:
        """Return the equal-tailed interval; `full_value` is the value on all rows."""
        low, high = (ends or self._ends)(np.asarray(values, dtype=np.float64))
        if self.rows <= DRAWN:
            return low, high
        shrunk = math.sqrt(DRAWN / self.rows)
        return full_value + (low - full_value) * shrunk, full_value + (high - full_value) * shrunk

    def _ends(self, values: Array) -> Interval:
        """Return quantiles; in the far tails, those of a normal distribution fitted to the resamples."""
        return _ends(values, NormalDist().inv_cdf((1 + self.confidence) / 2), (1 - self.confidence) / 2)

    def _widest(self, values: Array) -> Interval:
        """Return the wider of quantile and normal interval at each end; either alone is too narrow."""
        return _widest(values, NormalDist().inv_cdf((1 + self.confidence) / 2), (1 - self.confidence) / 2)


@dataclass(frozen=True)
class BlockBootstrap:
    """Resamples of blocks or groups of test rows; the fewer there are, the wider the interval."""

    blocks: Blocks
    seed: int
    confidence: float

    def intervals(self, scores: Callable[[Array], Mapping[str, float]]) -> dict[str, Interval]:
        """Return an interval for each value that `scores` computes from row indices; infinite if blocks are too few."""
        if not self.blocks.degrees:
            return dict.fromkeys(scores(self.blocks.order), UNKNOWN)
        drawn = self._of_resamples(scores)
        return {name: _ends(np.array([sample[name] for sample in drawn]), *self._tail()) for name in drawn[0]}

    def around(self, value: Callable[[Array], float]) -> Interval:
        """Return the interval of a gain that `value` computes from row indices."""
        if not self.blocks.degrees:
            return UNKNOWN
        return _widest(np.array(self._of_resamples(value)), *self._tail())

    def _tail(self) -> tuple[float, float]:
        """Return how many deviations an end is away, and the share of a normal distribution beyond it."""
        away = _student(self.blocks.degrees)((1 + self.confidence) / 2) * self.blocks.widening
        return away, NormalDist().cdf(-away)

    def _of_resamples(self, function: Callable[[Array], Value]) -> list[Value]:
        return _measured(function, self.blocks.resamples(self.seed, RESAMPLES, DRAWN), len(self.blocks.order))


def _measured(function: Callable[[Array], Value], resamples: Iterator[Array], rows: int) -> list[Value]:
    if rows < MANY:
        return [function(places) for places in resamples]
    return [*threads.ordered(function, resamples)]


def _ends(values: Array, away: float, tail: float) -> Interval:
    """Return quantiles; in the far tails, so many deviations from the mean of the resamples."""
    if tail * len(values) < MIN_TAIL:
        return _curve(values, away)
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _curve(values: Array, away: float) -> Interval:
    wide = away * float(values.std())
    return float(values.mean()) - wide, float(values.mean()) + wide


def _widest(values: Array, away: float, tail: float) -> Interval:
    quantiles, curve = _ends(values, away, tail), _curve(values, away)
    return min(quantiles[0], curve[0]), max(quantiles[1], curve[1])


def _student(degrees: float) -> Callable[[float], float]:
    """Return the quantile function of Student's t."""
    from scipy.stats import t

    return lambda share: float(t.ppf(share, degrees))
