"""Dependence between test rows: blocks of consecutive time steps, or whole groups, are drawn instead of rows.

A unit is the smallest set of rows that stays together: a group, or all rows of one time step. Groups are drawn one by
one. Time steps are drawn in blocks, whose length is estimated from the data (Politis and White 2004, corrected by
Patton, Politis and White 2009, for the circular block bootstrap).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tiltyard.arrays import Array

MOST_STEPS = 1000  # time steps; more are joined, so that the block length can be estimated by leaving each out
MOST_ROWS = 50_000  # used for that estimate
LONGER = 2.0  # times the block length with the smallest error of the variance: the test then keeps its error rate
FEWEST_BLOCKS = 4  # of estimated length; with fewer, neither variance nor length can be estimated
FEWEST_STEPS = 8  # with fewer, nothing is known about the dependence between them
LEAST_UNITS = 2.0  # independent units; with fewer, there is no interval


@dataclass(frozen=True)
class Dependence:
    """The unit of each test row: its group, or its time step if units are ordered."""

    unit: Array
    ordered: bool
    overlap: int = 1  # time steps that the targets of a row cover: the shortest block

    def take(self, places: Array) -> Dependence:
        """Return the dependence between some rows."""
        return Dependence(self.unit[places], self.ordered, self.overlap)

    def blocks(self, influence: Callable[[Array], Array]) -> Blocks:
        """Return the blocks to draw; `influence` returns the value of each metric on rows."""
        _, sizes = np.unique(self.unit, return_counts=True)
        order = np.argsort(self.unit, kind="stable")
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        if not self.ordered:
            return Blocks(order, bounds, 1)
        if len(sizes) < FEWEST_STEPS:
            return Blocks(order, bounds, max(len(sizes), 1))
        joined = math.ceil(len(sizes) / MOST_STEPS)
        bounds = np.unique(np.append(bounds[::joined], len(order)))
        lengths = [_length(values) for values in Blocks(order, bounds, 1).left_out(influence).T]
        return Blocks(order, bounds, max(math.ceil(self.overlap / joined), *lengths))


@dataclass(frozen=True)
class Blocks:
    """Rows ordered by unit, the bounds of the units, and how many consecutive units are drawn together."""

    order: Array
    bounds: Array
    length: int

    @property
    def units(self) -> int:
        """Return the number of units."""
        return len(self.bounds) - 1

    @cached_property
    def independent(self) -> float:
        """Return how many independent units of equal size the rows are worth."""
        sizes = np.diff(self.bounds).astype(np.float64)
        return float(sizes.sum() ** 2 / (sizes**2).sum() / self.length)

    @property
    def degrees(self) -> float:
        """Return the degrees of freedom of a variance between blocks; 0 if there are too few for one."""
        return self.independent - 1 if self.independent >= LEAST_UNITS else 0.0

    @property
    def widening(self) -> float:
        """Return the factor of a standard deviation of resamples, which is too small where blocks are few."""
        return math.sqrt(self.independent / self.degrees)

    def resamples(self, seed: int, count: int, max_rows: int) -> Iterator[Array]:
        """Yield row indices of blocks that are drawn with replacement; of many rows, a random part."""
        generator = np.random.default_rng(seed)
        starts_needed = math.ceil(self.units / self.length)
        for _ in range(count):
            starts = generator.integers(0, self.units, starts_needed)
            drawn = ((starts[:, None] + np.arange(self.length)) % self.units).ravel()[: self.units]
            rows = self._rows(drawn)
            yield rows if len(rows) <= max_rows else rows[generator.integers(0, len(rows), max_rows)]

    def left_out(self, influence: Callable[[Array], Array]) -> Array:
        """Return for each unit the values without it, on rows spread over all units."""
        step = math.ceil(len(self.order) / MOST_ROWS)
        rows, unit = self.order[::step], np.repeat(np.arange(self.units), np.diff(self.bounds))[::step]
        return np.array([influence(rows[unit != place]) for place in range(self.units)])

    def p_value(self, values: Array) -> float:
        """Return the two-sided p-value of a mean of zero, by a t-test between blocks."""
        from scipy.stats import t

        if not self.degrees:
            return 1.0
        missed = np.add.reduceat((values - values.mean())[self.order], self.bounds[:-1])
        circular = np.concatenate([missed, missed[: self.length - 1]])
        sums = np.convolve(circular, np.ones(self.length), mode="valid")
        deviation = math.sqrt(float((sums**2).sum()) / self.length) / len(values) * self.widening
        if deviation == 0:
            return 0.0 if values.any() else 1.0
        return float(2 * t.sf(abs(float(values.mean())) / deviation, self.degrees))

    def signs(self, generator: np.random.Generator) -> Array:
        """Return a random sign for each row, equal within each block."""
        shift = int(generator.integers(0, self.length))
        block = (np.arange(self.units) + shift) // self.length
        signs = generator.choice([-1.0, 1.0], int(block[-1]) + 1)[block]
        rows = np.empty(len(self.order))
        rows[self.order] = np.repeat(signs, np.diff(self.bounds))
        return rows

    def _rows(self, drawn: Array) -> Array:
        """Return the rows of the units drawn, in their order."""
        starts, sizes = self.bounds[drawn], self.bounds[drawn + 1] - self.bounds[drawn]
        within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        rows: Array = self.order[np.repeat(starts, sizes) + within]
        return rows


def _length(values: Array) -> int:
    """Return the number of consecutive values to draw together; it leaves a fourth block at least."""
    estimated = politis_white(values)
    return 1 if estimated <= 1 else max(1, min(round(LONGER * estimated), len(values) // FEWEST_BLOCKS))


def politis_white(values: Array) -> float:
    """Return the block length of the circular bootstrap with the smallest mean squared error of the variance."""
    rows = len(values)
    longest = min(3 * math.sqrt(rows), rows / 3)
    beyond = max(5, math.ceil(math.sqrt(math.log10(rows))))
    max_lag = min(math.ceil(math.sqrt(rows)) + beyond, rows - 1)
    covariance = _covariances(values, min(2 * max_lag, rows - 1))
    if not covariance[0] > 0:
        return 1.0
    lags = 2 * _last_lag(covariance / covariance[0], rows, max_lag, beyond)
    if lags == 0:
        return 1.0
    lag = np.arange(1, min(lags, len(covariance) - 1) + 1)
    weighted = np.clip(2 * (1 - lag / lags), 0, 1) * covariance[lag]
    spectrum = covariance[0] + 2 * weighted.sum()
    if spectrum <= 0:
        return longest
    slope = 2 * (lag * weighted).sum()
    return float(np.clip((1.5 * (slope / spectrum) ** 2 * rows) ** (1 / 3), 1, longest))


def _last_lag(correlation: Array, rows: int, max_lag: int, beyond: int) -> int:
    """Return the lag after which several autocorrelations in a row are not significant."""
    large = np.abs(correlation[1 : max_lag + 1]) >= 2 * math.sqrt(math.log10(rows) / rows)
    for lag in range(max(len(large) - beyond, 0) + 1):
        if not large[lag : lag + beyond].any():
            return lag
    return max_lag


def _covariances(values: Array, lags: int) -> Array:
    """Return the autocovariances up to a lag."""
    centred = values - values.mean()
    spectrum = np.fft.rfft(centred, 2 * len(values))
    covariances: Array = np.fft.irfft(np.abs(spectrum) ** 2)[: lags + 1] / len(values)
    return covariances
