"""Parse a column by the code of the service: its values, and the cells that the service would refuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from tiltyard.arrays import Array, is_missing
from tiltyard.errors import RequestError
from tiltyard.modeling.columns.base import Column

PERMISSIVE = {"bounds": None, "unseen": "bucket", "log": False, "clip": None}


@dataclass(frozen=True)
class Refusal:
    """A refused cell: its position, the error code, and the message."""

    place: int
    code: str
    text: str


@dataclass(frozen=True)
class ObservedColumn:
    """One column of a sample."""

    column: Column
    cells: list[object]  # as a client would send them
    parsed: Array  # the values; NaN, NaT or an empty text is missing, or cannot be read
    refused: list[Refusal]

    @property
    def missing(self) -> Array:
        """The mask of empty cells."""
        return np.fromiter((is_missing(cell) for cell in self.cells), dtype=bool, count=len(self.cells))

    @property
    def present(self) -> Array:
        """The values that are not missing."""
        return self.parsed[~is_missing_value(self.parsed)]

    @property
    def is_date(self) -> bool:
        """Whether it holds dates."""
        return bool(self.parsed.dtype.kind == "M")

    def comparable(self) -> Array:
        """Return values to compare: numbers, days for dates, word counts for texts, or names."""
        values = self.parsed
        if values.dtype.kind == "M":
            values = np.where(np.isnat(values), np.nan, values.astype("datetime64[s]").astype(np.float64) / 86_400)
        if values.dtype.kind == "S":
            values = np.char.count(values, b" ") + (values != b"")
        return values.astype(np.float64) if values.dtype.kind in "biuf" else values


def observe(column: Column, cells: Sequence[object], name: str) -> ObservedColumn:
    """Parse a column as the service does; parse refused cells with permissive settings where possible."""
    sent_cells = column.read(cells)
    try:
        return ObservedColumn(column, sent_cells, column.parse(sent_cells, name), [])
    except RequestError:
        refused = [refusal for place, cell in enumerate(sent_cells) if (refusal := _refusal(column, cell, place))]
    permissive = _permissive(column)
    unreadable = {refusal.place for refusal in refused if _refusal(permissive, sent_cells[refusal.place], 0)}
    readable = [None if place in unreadable else cell for place, cell in enumerate(sent_cells)]
    return ObservedColumn(column, sent_cells, permissive.parse(readable, name), refused)


def _refusal(column: Column, cell: object, place: int) -> Refusal | None:
    try:
        column.parse([cell], "")
    except RequestError as error:
        return Refusal(place, "missing" if is_missing(cell) else error.code, error.message)
    return None


def _permissive(column: Column) -> Column:
    """Return the column with its most permissive settings."""
    fields = type(column).model_fields
    update: dict[str, Any] = {name: value for name, value in PERMISSIVE.items() if name in fields}
    if "missing" in fields:
        update["missing"] = next(option for option in get_args(fields["missing"].annotation) if option != "refuse")
    return column.model_copy(update=update)


def is_missing_value(values: Array) -> Array:
    """Return which parsed values are missing."""
    if values.dtype.kind in "fM":
        missing: Array = np.isnan(values) if values.dtype.kind == "f" else np.isnat(values)
        return missing
    return np.asarray(values == values.dtype.type())
