"""Base class of columns whose values are single cells: which cells mean a missing value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import Field

from tiltyard.modeling.columns.base import Column

# Texts in files that mean a missing value, besides an empty cell, if the task does not set `source.read.na`.
MISSING = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None")

NaCells = Annotated[
    list[str | int | float] | None,
    Field(
        min_length=1,
        max_length=100,
        exclude_if=lambda value: value is None,
        description="Cells that mean a missing value in this column, such as 999; texts belong to source.read.na.",
    ),
]


class CellColumn(Column):
    """A column whose cells may say that a value is missing."""

    na: NaCells = None

    def with_na(self, words: Iterable[str] | None) -> Self:
        """Return the column with more cells that mean a missing value: those that the task sets for the whole file."""
        return self.model_copy(update={"na": [*(self.na or ()), *words]}) if words else self

    @property
    def na_texts(self) -> frozenset[str]:
        """The texts that mean a missing value in this column."""
        return frozenset(str(cell) for cell in self.na or ())

    @property
    def na_numbers(self) -> list[float]:
        """The numbers that mean a missing value in this column."""
        return [number for cell in self.na or () if (number := _number(cell)) is not None]


def _number(cell: str | float) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
