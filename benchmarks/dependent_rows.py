"""Simulated errors of models whose test rows depend on one another, for benchmarks/gate.py: series, groups, panels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.metrics.dependence import Dependence

BETWEEN = 0.5  # share of a variance that the rows of a group, or the series of a panel, have in common
Draw = Callable[[int], Array]  # returns standardized columns: (rows, columns)


@dataclass(frozen=True)
class Design:
    """How rows depend on one another: the name in the table, the units, and the draw of values for them."""

    name: str
    dependence: Dependence

    def draw(self, generator: np.random.Generator, columns: int) -> Array:
        """Return values with mean 0 and variance 1 that are dependent within units."""
        raise NotImplementedError


@dataclass(frozen=True)
class Series(Design):
    """One series with an autocorrelation, row by row."""

    correlation: float = 0.0

    def draw(self, generator: np.random.Generator, columns: int) -> Array:
        """Return autoregressive values of first order."""
        return autoregressive(generator.standard_normal((len(self.dependence.unit), columns)), self.correlation)


@dataclass(frozen=True)
class Groups(Design):
    """Groups of rows that share a part of the variance."""

    def draw(self, generator: np.random.Generator, columns: int) -> Array:
        """Return a value for each group plus one for each row."""
        unit = self.dependence.unit
        common = generator.standard_normal((unit.max() + 1, columns))[unit]
        own = generator.standard_normal((len(unit), columns))
        found: Array = math.sqrt(BETWEEN) * common + math.sqrt(1 - BETWEEN) * own
        return found


@dataclass(frozen=True)
class Panel(Design):
    """Several autocorrelated series over the same time steps, with a shock that all of them have in common."""

    correlation: float = 0.8

    def draw(self, generator: np.random.Generator, columns: int) -> Array:
        """Return values for each series and time step."""
        steps = int(self.dependence.unit.max()) + 1
        series = len(self.dependence.unit) // steps
        common = autoregressive(generator.standard_normal((steps, columns)), self.correlation)
        own = autoregressive(generator.standard_normal((steps, series * columns)), self.correlation)
        values = math.sqrt(BETWEEN) * common[:, None] + math.sqrt(1 - BETWEEN) * own.reshape(steps, series, columns)
        found: Array = values.reshape(steps * series, columns)
        return found


def autoregressive(shocks: Array, correlation: float) -> Array:
    """Turn independent values into series with an autocorrelation, and the same variance."""
    values = shocks.copy()
    for place in range(1, len(values)):
        values[place] = correlation * values[place - 1] + math.sqrt(1 - correlation**2) * values[place]
    return values


def _series(correlation: float, rows: int = 400) -> Series:
    dependence = Dependence(np.arange(rows), ordered=True)
    return Series(f"a series, autocorrelation {correlation:g}", dependence, correlation)


def _groups(name: str, sizes: list[int]) -> Groups:
    return Groups(name, Dependence(np.repeat(np.arange(len(sizes)), sizes), ordered=False))


DESIGNS: dict[str, Design] = {
    "series 0": _series(0.0),
    "series .5": _series(0.5),
    "series .8": _series(0.8),
    "series .95": _series(0.95),
    "groups": _groups("20 groups of 20 rows", [20] * 20),
    "many groups": _groups("100 groups of 4 rows", [4] * 100),
    "few groups": _groups("5 groups of 80 rows", [80] * 5),
    "unequal groups": _groups("15 groups of 8 to 121 rows", [max(8, 121 // place) for place in range(1, 16)]),
    "panel": Panel(
        "a panel of 8 series, 100 steps, autocorrelation .8", Dependence(np.repeat(np.arange(100), 8), ordered=True)
    ),
}
