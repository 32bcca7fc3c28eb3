"""Far fewer or far more rows than last time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Finding, Found


class Rows(Finding):
    """Half of the rows gone is a broken export more often than a change of the world."""

    code: ClassVar = "rows"
    title: ClassVar = "the number of rows, against the task and against last time"

    def look(self, subject: CheckedData) -> Iterator[Found]:
        """Compare with the bounds of the task, and with the version of the data before this one."""
        (low, high), rows, before = subject.task.rows, subject.rows, subject.earlier.rows
        if not low <= rows <= high:
            hint = "fetch data that are whole, or change `rows:`"
            yield self.found("critical", "", f"{rows:,} rows; expected {low:,} to {high:,}", hint)
        if before is None:
            return
        change, most = rows / max(1, before) - 1, subject.task.check.rows
        if abs(change) > most:
            lost = change < 0
            text = f"{rows:,} rows, {before:,} last time: {change:+.0%}; expected at most {most:.0%} either way"
            hint = "see that the source is whole" if lost else "see that no rows came twice"
            yield self.found("critical" if lost else "warning", "", text, f"{hint}, or raise check.rows")
