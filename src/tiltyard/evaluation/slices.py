"""Slices: groups of test rows that are measured separately, since an average hides them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.config.gate_section import NUMBERS, Slice
from tiltyard.modeling.columns.base import Column

MIN_ROWS = 20  # of a slice; with fewer, chance dominates
QUARTERS = (0.25, 0.5, 0.75)


class Part(NamedTuple):
    """A slice: its name and the indices of its rows."""

    name: str
    indices: Array


def parts(settings: list[str | Slice], columns: Mapping[str, Column], rows: Rows) -> Iterator[Part]:
    """Yield all slices with enough rows: one per category or flag of a column, or the quartiles of a number."""
    for setting in settings:
        name = setting if isinstance(setting, str) else setting.column
        column, values = columns[name], rows[name]
        if not isinstance(setting, str):
            slices = [Part(setting.name, _matching_rows(setting, column, values))]
        elif column.type in NUMBERS:
            slices = _quartile_slices(name, values)
        else:
            slices = groups(name, column, values)
        yield from (part for part in slices if len(part.indices) >= MIN_ROWS)


def groups(name: str, column: Column, values: Array) -> list[Part]:
    """Return a slice for each category or flag."""
    labels = np.array([*map(str, column.to_json(values))])
    return [Part(f"{name} {label}", np.flatnonzero(labels == label)) for label in np.unique(labels)]


def _matching_rows(definition: Slice, column: Column, values: Array) -> Array:
    if definition.values is not None:
        selected = column.parse(column.read(definition.values), definition.column)
        return np.flatnonzero(np.isin(values, selected))
    return np.flatnonzero(_is_between(definition, values))


def _quartile_slices(name: str, values: Array) -> list[Part]:
    """Divide at the quartiles of the test rows; missing values are in no slice."""
    quartiles = np.unique(np.nanquantile(values, QUARTERS)).tolist()
    edges = [None, *quartiles, None]
    ranges = [Slice(column=name, low=low, high=high) for low, high in itertools.pairwise(edges)]
    return [Part(part.name, np.flatnonzero(_is_between(part, values))) for part in ranges if quartiles]


def _is_between(definition: Slice, values: Array) -> Array:
    low = -np.inf if definition.low is None else definition.low
    high = np.inf if definition.high is None else definition.high
    inside: Array = (values >= low) & (values < high)
    return inside
