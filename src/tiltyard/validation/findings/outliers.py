"""Numbers far from all others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.columns.number import Number
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import MIN_ROWS, Finding, Found, listed

FAR = 10  # times the distance of the quartiles, beyond them
FEW = 0.02  # of the rows; what is more frequent belongs to the column's shape
AGAIN = 3  # rows with the very same code
CODE = re.compile(r"-?9{2,}|-1|-[1-8]{3,}")  # how people write that there is no number


class Outliers(Finding):
    """One value of 10^9 among thousands decides the scale of its column."""

    code: ClassVar = "outliers"
    title: ClassVar = "outliers, and numbers that stand for a missing value"

    def look(self, subject: CheckedData) -> Iterator[Found]:
        """Look beyond the quartiles; on a logarithmic scale, if the column is learned on one."""
        for name, column in subject.columns.items():
            if column.parsed.dtype.kind == "f" and isinstance(column.column, Number) and len(column.known) >= MIN_ROWS:
                far = _far(column.parsed, log=column.column.log)
                codes = _codes(column.parsed, far)
                if codes:
                    yield self._coded(subject, name, codes)
                elif 0 < len(far) <= FEW * len(column.parsed):
                    yield self._told(subject, name, far)

    def _coded(self, subject: CheckedData, name: str, codes: dict[float, int]) -> Found:
        shown = listed([f"{code:g} in {rows:,} rows" for code, rows in codes.items()])
        text = f"{shown}; {_usual(subject, name)}"
        return self.found("warning", name, text, "if it means a missing value, name it under source.read.na")

    def _told(self, subject: CheckedData, name: str, far: Array) -> Found:
        values = subject.columns[name].parsed
        rows = [f"{values[place]:g} in row {subject.row(place)}" for place in far]
        text = f"{listed(rows)}; {_usual(subject, name)}"
        return self.found("note", name, text, f"mend them, or set columns.{name}.clip: [0.01, 0.99]")


def _usual(subject: CheckedData, name: str) -> str:
    low, high = np.quantile(subject.columns[name].known, [0.25, 0.75])
    return f"expected values near {low:g} to {high:g}, where half of them lie"


def _codes(values: Array, far: Array) -> dict[float, int]:
    """Count far values that are spelled like a code, and come again."""
    found, counts = np.unique(values[far], return_counts=True)
    pairs = zip(found.tolist(), counts.tolist(), strict=True)
    return {value: rows for value, rows in pairs if rows >= AGAIN and CODE.fullmatch(f"{value:.0f}")}


def _far(values: Array, *, log: bool) -> Array:
    numbers = np.log1p(np.maximum(values, 0)) if log else values
    numbers = numbers / 64  # exact, and the margin of the widest range is still a float
    low, high = np.nanquantile(numbers, [0.25, 0.75])
    margin = FAR * (high - low)
    if not margin:
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero((numbers < low - margin) | (numbers > high + margin))
