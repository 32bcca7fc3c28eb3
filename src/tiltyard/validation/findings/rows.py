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
        (low, high), rows, before = subject.task.rows, subject.rows, subject.earlier.rows
        if not low <= rows <= high:
            hint = "fetch complete data, or change `rows:`"
            yield self.found("critical", "", f"{rows:,} rows; expected {low:,} to {high:,}", hint)
        if before is None:
            return
        change, most = rows / max(1, before) - 1, subject.task.check.rows
        if abs(change) > most:
            lost = change < 0
            text = f"{rows:,} rows, {before:,} last time: {change:+.0%}; expected at most {most:.0%} either way"
            hint = "check that the source is complete" if lost else "check that no rows are repeated"
            yield self.found("critical" if lost else "warning", "", text, f"{hint}, or raise check.rows")
