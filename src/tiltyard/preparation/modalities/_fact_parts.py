"""Parts of a table for validation, with summaries of columns for expectations about single cells.

Each distinct text is converted and checked once; numbers within bounds are checked by the least and the greatest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MAX_DISTINCT_SHARE = 0.3  # of rows; with more distinct texts, all rows are converted
MAX_ARROW_BYTES = 1 << 30  # of a column; the offsets of Arrow's texts have 32 bits


@dataclass(frozen=True)
class DistinctFacts:
    """The distinct values of a column, with the index of each row's value."""

    facts: pd.Series[Any]
    codes: Array
    counts: Array  # rows of each distinct value


@dataclass(frozen=True)
class BoundsOfFacts:
    """The least and the greatest number of a column."""

    facts: pd.Series[Any]
    missing: int


@dataclass(frozen=True)
class FactPart:
    """Rows of a table: all facts of some columns as a frame, or a summary of one column, if it has one."""

    start: int  # the number of the first row
    rows: int
    frame: Callable[[Sequence[str]], pd.DataFrame]
    summary: Callable[[str], DistinctFacts | BoundsOfFacts | None] = lambda _: None


def of_frame(frame: pd.DataFrame) -> FactPart:
    """Return a part whose facts are computed already."""
    return FactPart(0, len(frame), lambda names: frame[[*names]])


def of_table(part: pa.Table, start: int, facts: Callable[[pa.Table, int], pd.DataFrame]) -> FactPart:
    """Return a part whose cells are converted by `facts` when they are needed."""

    def frame(names: Sequence[str]) -> pd.DataFrame:
        return facts(part.select([*names]), start)

    def summary(name: str) -> DistinctFacts | BoundsOfFacts | None:
        if part[name].nbytes > MAX_ARROW_BYTES:
            return None
        return summarized(part[name].combine_chunks(), lambda cells: facts(_table(name, cells), 0)[name])

    return FactPart(start, part.num_rows, frame, summary)


def _table(name: str, cells: pa.Array) -> pa.Table:
    import pyarrow as pa

    return pa.table({name: cells})


def summarized(cells: pa.Array, facts: Callable[[pa.Array], pd.Series[Any]]) -> DistinctFacts | BoundsOfFacts | None:
    """Summarize a column whose facts depend on one cell each; None if that would not save anything."""
    from pyarrow import types

    if types.is_string(cells.type) or types.is_boolean(cells.type):
        return _distinct(cells, facts)
    if types.is_int64(cells.type) or types.is_float64(cells.type):
        return _bounds(cells, facts)
    return None


def _distinct(cells: pa.Array, facts: Callable[[pa.Array], pd.Series[Any]]) -> DistinctFacts | None:
    coded = cells.dictionary_encode(null_encoding="encode")
    if len(coded.dictionary) > MAX_DISTINCT_SHARE * len(cells):
        return None
    codes = coded.indices.to_numpy()
    return DistinctFacts(facts(coded.dictionary), codes, np.bincount(codes, minlength=len(coded.dictionary)))


def _bounds(cells: pa.Array, facts: Callable[[pa.Array], pd.Series[Any]]) -> BoundsOfFacts | None:
    import pyarrow as pa

    present = (cells.drop_null() if cells.null_count else cells).to_numpy()
    if len(present) and np.isnan(present.min()):  # a NaN counts as missing
        present = present[~np.isnan(present)]
    if not len(present):
        return None
    extremes = facts(pa.array([present.min(), present.max()], cells.type))
    if extremes.isna().any():  # a number that means a missing value hides the true end
        return None
    return BoundsOfFacts(extremes, len(cells) - len(present))
