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
        for name, column in subject.columns.items():
            known = column.known
            if subject.task.modality != "table" or len(known) < MIN_ROWS or known.dtype.kind not in "fU":
                continue
            distinct = len(np.unique(known))
            if _is_unique_name(name, column, distinct, len(known)) or _counts_rows(subject, column, distinct):
                text = f"{distinct:,} different values in {len(known):,} rows; expected repeated values"
                yield self.found(
                    "warning", name, text, f"{removal_advice(subject, name)}; it has no information about other rows"
                )


def _is_unique_name(name: str, column: ObservedColumn, distinct: int, rows: int) -> bool:
    if column.parsed.dtype.kind == "U":
        min_share = MIN_UNIQUE if rows >= MIN_ROWS_WITH_REPEATS else 1.0
        return distinct >= min_share * rows
    return bool(KEYS.search(name)) and distinct * 2 > rows and _are_integers(column.known)


def _counts_rows(subject: CheckedData, column: ObservedColumn, distinct: int) -> bool:
    """Return whether integers count the rows, in order or shuffled."""
    known = column.known
    if column.parsed.dtype.kind != "f" or distinct < len(known) or not _are_integers(known):
        return False
    steps = np.diff(column.parsed) == np.diff(subject.frame.index.to_numpy())
    dense = float(known.max() - known.min()) < MAX_KEY_RANGE * subject.rows * len(known) / len(column.parsed)
    return bool(steps.all()) or dense


def _are_integers(values: Array) -> bool:
    return bool((np.abs(values) < 2**53).all() and (values == np.round(values)).all())
