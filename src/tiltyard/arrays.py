"""Types for arrays and rows by column, which data, columns, models and metrics exchange, and functions for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Rows = dict[str, Array]  # rows stored by column: all arrays have the same length
Fitted = dict[str, Any]  # what a column or a problem learned from the training rows, as JSON


@dataclass(frozen=True)
class Coded:
    """Values of a column that occur often: the distinct ones, and each row's index among them."""

    distinct: Array
    places: Array

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.places)

    def __getitem__(self, rows: Array | slice) -> Coded:
        """Return some rows."""
        return Coded(self.distinct, self.places[rows])

    def decoded(self) -> Array:
        """Return the value of each row."""
        return self.distinct.take(self.places, axis=0)


Cells = Array | Coded  # the parsed values of one column
ParsedRows = dict[str, Cells]


def decoded(cells: Cells) -> Array:
    """Return the value of each row."""
    return cells.decoded() if isinstance(cells, Coded) else cells


def row_count(rows: Mapping[str, Cells]) -> int:
    """Return the number of rows."""
    return len(next(iter(rows.values())))


def take_rows(rows: Rows, index: Array) -> Rows:
    """Return the rows at some indices."""
    return {name: values[index] for name, values in rows.items()}


def is_missing(cell: object) -> bool:
    """Return whether a cell of a file is missing: None, blank text, NaN, or pandas' NA and NaT."""
    if isinstance(cell, str):
        return not cell.strip()
    return cell is None or type(cell).__name__ in {"NAType", "NaTType"} or bool(cell != cell)  # noqa: PLR0124 - NaN


def stack_columns(features: Iterable[Array]) -> Array:
    """Stack features, one array each, as the columns of a float32 array."""
    return np.stack([feature.astype(np.float32) for feature in features], axis=1)
