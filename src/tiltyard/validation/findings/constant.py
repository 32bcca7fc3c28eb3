"""Constant and nearly constant columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.errors import format_value
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import MIN_ROWS, Finding, Found, removal_advice, share

MAX_SHARE = 0.96  # of the rows with the same value


class Constant(Finding):
    """A constant column has no information, and a nearly constant one has little."""

    code: ClassVar = "constant"
    title: ClassVar = "constant and nearly constant columns"

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Count the most frequent value."""
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
                text = f"{value} in {share(count, rows)} rows; expected at most {MAX_SHARE:.0%}"
                yield self.found("note", name, text, f"see whether {name} is worth a column")
