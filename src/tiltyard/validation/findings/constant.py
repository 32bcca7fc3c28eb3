"""Constant and nearly constant columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.errors import format_value
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import MIN_ROWS, Finding, Found, join_first, removal_advice, share

MAX_SHARE = 0.96  # of the rows with the same value
MAX_SINGLE = 3  # nearly constant columns that are reported each


class Constant(Finding):
    """A constant column has no information, and a nearly constant one has little."""

    code: ClassVar = "constant"
    title: ClassVar = "constant and nearly constant columns"

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Count the most frequent value; many nearly constant columns, such as flags, are one finding."""
        nearly: dict[str, str] = {}
        for name, column in subject.columns.items():
            present, rows = column.present, len(column.parsed)
            if not len(present) or rows < MIN_ROWS:
                continue
            values, counts = np.unique(present, return_counts=True)
            value, count = format_value(values[counts.argmax()].item()), int(counts.max())
            if len(values) == 1 and count == rows:
                text = f"always {value} in {rows:,} rows; expected at least two values"
                yield self.found("warning", name, text, removal_advice(subject, name))
            elif count >= MAX_SHARE * rows:
                nearly[name] = f"{value} in {share(count, rows)} rows"
        if len(nearly) > MAX_SINGLE:
            names = join_first([*nearly])
            text = f"{len(nearly):,} columns have one value in {MAX_SHARE:.0%} of the rows or more: {names}"
            yield self.found("note", "", text, "see whether they are worth a column")
            return
        for name, text in nearly.items():
            expected = f"expected at most {MAX_SHARE:.0%}"
            yield self.found("note", name, f"{text}; {expected}", f"see whether {name} is worth a column")
