"""A column as far as it can be read: its values, and the cells that the service would refuse, with its own words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from tiltyard.arrays import Array, empty
from tiltyard.errors import RequestError
from tiltyard.modeling.columns.base import Column

EASY = {"bounds": None, "unseen": "bucket", "log": False, "clip": None}  # settings under which little is refused


@dataclass(frozen=True)
class Refusal:
    """A cell that is refused: its place among the cells, the code of the refusal, and why."""

    place: int
    code: str
    text: str


@dataclass(frozen=True)
class ObservedColumn:
    """One column of a sample."""

    column: Column
    cells: list[object]  # what a client would send
    parsed: Array  # the values; NaN, NaT or an empty text is missing, or cannot be read
    refused: list[Refusal]

    @property
    def missing(self) -> Array:
        """Where there is no cell at all."""
        return np.fromiter((empty(cell) for cell in self.cells), dtype=bool, count=len(self.cells))

    @property
    def known(self) -> Array:
        """The values that are there."""
        return self.parsed[~_gone(self.parsed)]

    @property
    def is_date(self) -> bool:
        """Whether it holds moments."""
        return bool(self.parsed.dtype.kind == "M")

    def comparable(self) -> Array:
        """Return numbers, of a date the day, of a text the number of its words; or names."""
        values = self.parsed
        if values.dtype.kind == "M":
            values = np.where(np.isnat(values), np.nan, values.astype("datetime64[s]").astype(np.float64) / 86_400)
        if values.dtype.kind == "S":
            values = np.char.count(values, b" ") + (values != b"")
        return values.astype(np.float64) if values.dtype.kind in "biuf" else values


def seen(column: Column, cells: Sequence[object], name: str) -> ObservedColumn:
    """Read a column by the code that serves; of what that refuses, read what can be read."""
    read = column.read(cells)
    try:
        return ObservedColumn(column, read, column.parse(read, name), [])
    except RequestError:
        refused = [refusal for place, cell in enumerate(read) if (refusal := _refusal(column, cell, place))]
    easy = _easy(column)
    unreadable = {refusal.place for refusal in refused if _refusal(easy, read[refusal.place], 0)}
    kept = [None if place in unreadable else cell for place, cell in enumerate(read)]
    return ObservedColumn(column, read, easy.parse(kept, name), refused)


def _refusal(column: Column, cell: object, place: int) -> Refusal | None:
    try:
        column.parse([cell], "")
    except RequestError as error:
        return Refusal(place, "missing" if empty(cell) else error.code, error.message)
    return None


def _easy(column: Column) -> Column:
    """Return the column as it were if it allowed whatever it may allow."""
    fields = type(column).model_fields
    update: dict[str, Any] = {name: value for name, value in EASY.items() if name in fields}
    if "missing" in fields:
        update["missing"] = next(way for way in get_args(fields["missing"].annotation) if way != "refuse")
    return column.model_copy(update=update)


def _gone(values: Array) -> Array:
    if values.dtype.kind in "fM":
        gone: Array = np.isnan(values) if values.dtype.kind == "f" else np.isnat(values)
        return gone
    return np.asarray(values == values.dtype.type())
