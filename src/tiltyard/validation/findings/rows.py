"""Number of rows, compared with the task and with the previous version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Finding, Found


class Rows(Finding):
    """A large change of the number of rows often means a broken export."""

    code: ClassVar = "rows"
    title: ClassVar = "number of rows, compared with the task and with last time"

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Compare with the bounds of the task, and with the previous version of the data."""
        (low, high), rows, previous = subject.task.rows, subject.rows, subject.previous.rows
        if not low <= rows <= high:
            hint = "fetch complete data, or change `rows:`"
            yield self.found("critical", "", f"{rows:,} rows; expected {low:,} to {high:,}", hint)
        if previous is None:
            return
        change, limit = rows / max(1, previous) - 1, subject.task.check.rows
        if abs(change) > limit:
            is_smaller = change < 0
            text = f"{rows:,} rows, {previous:,} last time: {change:+.0%}; expected at most {limit:.0%} either way"
            hint = "check that the source is complete" if is_smaller else "check that no rows are repeated"
            yield self.found("critical" if is_smaller else "warning", "", text, f"{hint}, or raise check.rows")
