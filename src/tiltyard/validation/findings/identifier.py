"""Identifiers: columns that identify rows instead of describing them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.draft.column_profile import KEYS, MAX_KEY_RANGE, MIN_UNIQUE
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings._observed_column import ObservedColumn
from tiltyard.validation.findings.base import MIN_ROWS, Finding, Found, removal_advice

MIN_ROWS_WITH_REPEATS = 100  # in fewer, a category may have nearly as many values as rows


class Identifier(Finding):
    """A model that learns identifiers does not generalise."""

    code: ClassVar = "identifier"
    title: ClassVar = "columns that identify rows"

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Look for unique names, numbers that count rows, and mostly unique numbers called an id."""
        for name, column in subject.columns.items() if subject.task.is_tabular else ():
            present = column.present
            if len(present) < MIN_ROWS or present.dtype.kind not in "fU":
                continue
            distinct = len(np.unique(present))
            if _is_unique_name(name, column, distinct, len(present)) or _counts_rows(subject, column, distinct):
                text = f"{distinct:,} different values in {len(present):,} rows; expected repeated values"
                yield self.found(
                    "warning", name, text, f"{removal_advice(subject, name)}; it has no information about other rows"
                )


def _is_unique_name(name: str, column: ObservedColumn, distinct: int, rows: int) -> bool:
    if column.parsed.dtype.kind == "U":
        min_share = MIN_UNIQUE if rows >= MIN_ROWS_WITH_REPEATS else 1.0
        return distinct >= min_share * rows
    return bool(KEYS.search(name)) and distinct * 2 > rows and _are_integers(column.present)


def _counts_rows(subject: CheckedData, column: ObservedColumn, distinct: int) -> bool:
    """Return whether integers count the rows, in order or shuffled."""
    present = column.present
    if column.parsed.dtype.kind != "f" or distinct < len(present) or not _are_integers(present):
        return False
    steps = np.diff(column.parsed) == np.diff(subject.frame.index.to_numpy())
    dense = float(present.max() - present.min()) < MAX_KEY_RANGE * subject.rows * len(present) / len(column.parsed)
    return bool(steps.all()) or dense


def _are_integers(values: Array) -> bool:
    return bool((np.abs(values) < 2**53).all() and (values == np.round(values)).all())
