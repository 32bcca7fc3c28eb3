"""The distinct values of a column with their numbers of rows, so that a column of millions of rows is profiled fast."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tiltyard.arrays import Array, is_missing

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ColumnValues:
    """The distinct values that are not missing, as a file's reader returns them."""

    distinct: list[object]
    counts: Array  # rows of each distinct value
    rows: int
    missing: int
    ordered: Array | None = None  # all numbers in the order of the rows, if the column holds numbers

    @classmethod
    def of(cls, cells: Sequence[object] | pd.Series) -> ColumnValues:
        """Count the values of a column."""
        import pandas as pd

        if isinstance(cells, pd.Series) and cells.dtype.kind in "if":
            return cls._of_numbers(cells.to_numpy())
        if isinstance(cells, pd.Series) and isinstance(cells.dtype, pd.StringDtype):
            present_cells = cells[cells.notna() & (cells.str.strip() != "")]
            values = present_cells.value_counts(sort=False)
            return cls(
                values.index.to_numpy(dtype=object).tolist(),
                values.to_numpy(dtype=np.int64),
                len(cells),
                len(cells) - len(present_cells),
            )
        listed = list(cells)
        present = [cell for cell in listed if not is_missing(cell)]
        counted = Counter((type(cell), cell) for cell in present)
        counts = np.array([*counted.values()], dtype=np.int64)
        values_only = cls([value for _, value in counted], counts, len(listed), len(listed) - len(present))
        numeric = bool(present) and all(type(cell) in (int, float) for cell in present)
        return replace(values_only, ordered=_floats(present)) if numeric else values_only

    @classmethod
    def _of_numbers(cls, numbers: Array) -> ColumnValues:
        present = numbers[~np.isnan(numbers)] if numbers.dtype.kind == "f" else numbers
        distinct, counts = np.unique(present, return_counts=True)
        return cls(distinct.tolist(), counts, len(numbers), len(numbers) - len(present), present.astype(np.float64))

    @property
    def present(self) -> int:
        """The number of rows with a value."""
        return self.rows - self.missing

    @functools.cached_property
    def texts(self) -> list[str]:
        """The distinct values as text."""
        return [str(value) for value in self.distinct]

    def without(self, dropped: set[str]) -> ColumnValues:
        """Return the values without some texts, whose rows then count as missing."""
        places = [place for place, text in enumerate(self.texts) if text.strip() not in dropped]
        counts = self.counts[places]
        return ColumnValues([self.distinct[i] for i in places], counts, self.rows, self.rows - int(counts.sum()))

    def share(self, value: object) -> float:
        """Return the share of rows with a value."""
        rows = sum(int(n) for distinct, n in zip(self.distinct, self.counts, strict=True) if distinct == value)
        return rows / max(1, self.rows)


def _floats(values: Sequence[object]) -> Array:
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:  # an integer beyond the largest float
        return np.array([min(max(value, -1e308), 1e308) for value in values], dtype=np.float64)  # type: ignore[call-overload]
