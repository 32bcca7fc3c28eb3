"""Counts over all rows of a file: cells that are missing or that the service would refuse, and hashes of the rows.

Columns are parsed in parts by the fast code of `prepare`; only parts with a refused cell are parsed cell by cell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array, Coded, is_missing
from tiltyard.modeling.columns.base import Column, distinct
from tiltyard.modeling.columns.number import Number
from tiltyard.validation.findings._observed_column import is_missing_value, observe

if TYPE_CHECKING:
    import pandas as pd

FACTOR = np.uint64(1099511628211)  # of the FNV hash: combines hashes so that their order matters


@dataclass(frozen=True)
class RefusedCells:
    """The cells that are refused for one reason: their number, and row and message of the first."""

    count: int
    row: int
    text: str


@dataclass
class CellCounts:
    """Counts of one column over all rows so far."""

    rows: int = 0
    missing: int = 0
    first_missing: int = -1
    refused: dict[str, RefusedCells] = field(default_factory=dict)  # by error code

    def add(self, later: CellCounts) -> None:
        """Add the counts of later rows."""
        if not self.missing:
            self.first_missing = later.first_missing
        self.rows += later.rows
        self.missing += later.missing
        for code, cells in later.refused.items():
            earlier = self.refused.get(code)
            total = cells.count + (earlier.count if earlier else 0)
            self.refused[code] = RefusedCells(total, (earlier or cells).row, (earlier or cells).text)


def counted(column: Column, cells: Any, series: pd.Series[Any], start: int) -> CellCounts:
    """Count the cells of a part: `cells` in Arrow, and the same in pandas."""
    parsed = column.parse_arrow(cells, "")
    if parsed is None:
        return _count_by_cell(column, series, start)
    if isinstance(parsed, Coded):
        return _counts(is_missing_value(parsed.distinct)[parsed.places], start)
    return _counts(is_missing_value(parsed), start)


def _counts(missing: Array, start: int) -> CellCounts:
    count = int(missing.sum())
    return CellCounts(len(missing), count, start + int(missing.argmax()) if count else -1)


def _count_by_cell(column: Column, series: pd.Series[Any], start: int) -> CellCounts:
    """Parse each distinct cell, or each number out of bounds, to get the errors of the service."""
    if coded := distinct(series):
        places, values = coded
    elif isinstance(column, Number) and series.dtype.kind in "if":
        places, values = _out_of_bounds(column, series.to_numpy(np.float64))
    else:
        places, values = np.arange(len(series)), series.tolist()
    observed = observe(column, values, "")
    counts = _counts(np.array([is_missing(cell) for cell in observed.cells], dtype=bool)[places], start)
    for code in sorted({refusal.code for refusal in observed.refused}):
        texts = {refusal.place: refusal.text for refusal in observed.refused if refusal.code == code}
        rows = np.flatnonzero(np.isin(places, [*texts]))
        counts.refused[code] = RefusedCells(len(rows), start + int(rows[0]), texts[int(places[rows[0]])])
    return counts


def _out_of_bounds(column: Number, numbers: Array) -> tuple[Array, list[object]]:
    """Return the numbers that are out of bounds or missing, after one valid number that represents the rest."""
    low, high = column.limits
    in_bounds = (numbers >= low) & (numbers <= high)
    places = np.zeros(len(numbers), dtype=np.int64)
    places[~in_bounds] = np.arange(1, int((~in_bounds).sum()) + 1)
    valid = numbers[in_bounds][:1] if in_bounds.any() else np.array([low])
    return places, [*valid.tolist(), *numbers[~in_bounds].tolist()]


def row_hashes(frame: pd.DataFrame, names: list[str], targets: list[str]) -> tuple[Array, Array]:
    """Return hashes of the features, and of features and targets."""
    features = np.zeros(len(frame), dtype=np.uint64)
    for name in names:
        features = (features ^ _hashed(frame[name])) * FACTOR
    labelled = features
    for name in targets:
        if name in frame and name not in names:
            labelled = (labelled ^ _hashed(frame[name])) * FACTOR
    return features, labelled


def _hashed(cells: pd.Series[Any]) -> Array:
    import pandas as pd

    return np.asarray(pd.util.hash_pandas_object(cells, index=False).to_numpy())
