"""Arrays by column: the types that data, columns, models and metrics exchange, and what is asked of them everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Rows = dict[str, Array]  # rows held by column: every array has the same length
Fitted = dict[str, Any]  # what a column or a problem learned from the training rows, as JSON


def row_count(rows: Rows) -> int:
    """Return how many rows there are."""
    return len(next(iter(rows.values())))


def take_rows(rows: Rows, index: Array) -> Rows:
    """Return the rows at these places."""
    return {name: values[index] for name, values in rows.items()}


def is_missing(cell: object) -> bool:
    """Return whether a cell of a file holds nothing: None, blank text, NaN, or what pandas puts in its place."""
    if isinstance(cell, str):
        return not cell.strip()
    return cell is None or type(cell).__name__ in {"NAType", "NaTType"} or bool(cell != cell)  # noqa: PLR0124 - NaN


def stack_columns(features: Iterable[Array]) -> Array:
    """Put features, an array each, into the columns of one float32 array."""
    return np.stack([feature.astype(np.float32) for feature in features], axis=1)
