"""Slices: groups of test rows that are measured separately, since an average can hide them."""

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


def parts(wanted: list[str | Slice], columns: Mapping[str, Column], rows: Rows) -> Iterator[Part]:
    """Yield all slices with enough rows: one per category or flag of a column, or the quartiles of a number."""
    for one in wanted:
        name = one if isinstance(one, str) else one.column
        column, values = columns[name], rows[name]
        if not isinstance(one, str):
            found = [Part(one.name, _inside(one, column, values))]
        elif column.type in NUMBERS:
            found = _quarters(name, values)
        else:
            found = groups(name, column, values)
        yield from (part for part in found if len(part.indices) >= MIN_ROWS)


def groups(name: str, column: Column, values: Array) -> list[Part]:
    """Return a slice for each category or flag."""
    told = np.array([*map(str, column.to_json(values))])
    return [Part(f"{name} {one}", np.flatnonzero(told == one)) for one in np.unique(told)]


def _inside(one: Slice, column: Column, values: Array) -> Array:
    if one.values is not None:
        wanted = column.parse(column.read(one.values), one.column)
        return np.flatnonzero(np.isin(values, wanted))
    return np.flatnonzero(_between(one, values))


def _quarters(name: str, values: Array) -> list[Part]:
    """Cut at the quartiles of the test rows; missing values are in no slice."""
    cuts = np.unique(np.nanquantile(values, QUARTERS)).tolist()
    edges = [None, *cuts, None]
    spans = [Slice(column=name, low=low, high=high) for low, high in itertools.pairwise(edges)]
    return [Part(span.name, np.flatnonzero(_between(span, values))) for span in spans if cuts]


def _between(span: Slice, values: Array) -> Array:
    low, high = -np.inf if span.low is None else span.low, np.inf if span.high is None else span.high
    found: Array = (values >= low) & (values < high)
    return found
