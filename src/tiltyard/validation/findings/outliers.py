"""Outliers, and numbers that stand for a missing value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.draft import targets
from tiltyard.config.draft.column_values import ColumnValues
from tiltyard.config.draft.missing_codes import number_codes
from tiltyard.modeling.columns.number import Number
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings._observed_column import ObservedColumn
from tiltyard.validation.findings.base import MIN_ROWS, Finding, Found, join_first

if TYPE_CHECKING:
    import pandas as pd

MAX_DISTANCE = 10  # from the quartiles, in interquartile ranges
MAX_LOG_DISTANCE = 5  # the same of logarithms: numbers that are never negative are often skewed, and not wrong
MAX_SHARE = 0.02  # of the rows; more frequent values are part of the distribution
MAX_TARGETS = 0.005  # of the rows with a target far from all others
MIN_REPEATS = 3  # rows with the same code
CODE = re.compile(r"-?9{2,}|-1|-[1-8]{3,}")  # common codes for a missing number


class Outliers(Finding):
    """A single extreme value can determine the scale of its column."""

    code: ClassVar = "outliers"
    title: ClassVar = "outliers, and numbers that stand for a missing value"

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Measure the distance from the quartiles; on a logarithmic scale if the column has `log`."""
        for name, column in subject.columns.items():
            if (
                column.parsed.dtype.kind == "f"
                and isinstance(column.column, Number)
                and len(column.present) >= MIN_ROWS
            ):
                far = _far(column.parsed, log=column.column.log)
                codes = _codes(column.parsed, far) | _proposed(name, column)
                if codes:
                    yield self._report_codes(subject, name, codes)
                elif len(far := _beyond_skew(column.parsed, far)) and len(far) <= MAX_SHARE * len(column.parsed):
                    yield self._report_outliers(subject, name, far)
        for one in subject.by_target:
            yield from self._of_target(one)

    def _of_target(self, subject: CheckedData) -> Iterator[Found]:
        """Report targets far from all others, and a skewed target that is not learned by its logarithm."""
        target, truth = subject.task.target, subject.truth
        if truth is None or subject.task.classes or subject.task.problem != "regression":
            return
        present = truth[np.isfinite(truth)]
        if len(present) < MIN_ROWS:
            return
        skewed = targets.is_skewed(present)
        far = _far(truth, log=skewed or target.log)
        if 0 < len(far) <= MAX_TARGETS * len(truth):
            rows = join_first([f"{truth[place]:g} in row {subject.row(place)}" for place in far])
            text = f"{rows}; expected values near the median {np.median(present):g}"
            yield self.found("warning", target.column, text, "correct the values, or drop these rows")
        if skewed and not target.log:
            text = (
                f"skewed: mean {present.mean():.4g}, median {np.median(present):.4g}; expected values of one magnitude"
            )
            hint = "see whether target.log: true predicts better, with gate.metric: mae"
            yield self.found("note", target.column, text, hint)

    def _report_codes(self, subject: CheckedData, name: str, codes: dict[float, int]) -> Found:
        shown = join_first([f"{code:g} in {rows:,} rows" for code, rows in codes.items()])
        text = f"{shown}; {_expected_range(subject, name)}"
        return self.found(
            "warning", name, text, f"if it means a missing value, set columns.{name}.na: [{_listed(codes)}]"
        )

    def _report_outliers(self, subject: CheckedData, name: str, far: Array) -> Found:
        values = subject.columns[name].parsed
        rows = [f"{values[place]:g} in row {subject.row(place)}" for place in far]
        text = f"{join_first(rows)}; {_expected_range(subject, name)}"
        return self.found("note", name, text, f"correct them, or set columns.{name}.clip: [0.01, 0.99]")


def _listed(codes: dict[float, int]) -> str:
    return ", ".join(f"{code:g}" for code in codes)


def _proposed(name: str, column: ObservedColumn) -> dict[float, int]:
    """Return the numbers that `tiltyard init` would take for missing values, with their rows."""
    shares = number_codes(name, ColumnValues.of(_series(column.parsed)))
    return {code: round(share * len(column.parsed)) for code, share in shares.items()}


def _series(values: Array) -> pd.Series[float]:
    """Return numbers as a column."""
    import pandas as pd

    return pd.Series(values)


def _expected_range(subject: CheckedData, name: str) -> str:
    low, high = np.quantile(subject.columns[name].present, [0.25, 0.75])
    return f"expected values near {low:g} to {high:g}, the range of half of them"


def _codes(values: Array, far: Array) -> dict[float, int]:
    """Count outliers that look like a code and repeat."""
    outliers, counts = np.unique(values[far], return_counts=True)
    pairs = zip(outliers.tolist(), counts.tolist(), strict=True)
    return {value: rows for value, rows in pairs if rows >= MIN_REPEATS and CODE.fullmatch(f"{value:.0f}")}


def _beyond_skew(values: Array, far: Array) -> Array:
    """Return the places that are also far from all others by their logarithms; all if a value is negative."""
    if np.nanmin(values) < 0:
        return far
    return np.intersect1d(far, _far(values, log=True, most=MAX_LOG_DISTANCE))


def _far(values: Array, *, log: bool, most: float = MAX_DISTANCE) -> Array:
    numbers = np.log1p(np.maximum(values, 0)) if log else values
    numbers = numbers / 64  # exact, and prevents an overflow of the margin
    low, high = np.nanquantile(numbers, [0.25, 0.75])
    margin = most * (high - low)
    if not margin:
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero((numbers < low - margin) | (numbers > high + margin))
