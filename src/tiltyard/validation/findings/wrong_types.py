"""Wrong types: cells that cannot be parsed, such as text in a column of numbers or an invalid date."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Finding, Found, Severity


class WrongTypes(Finding):
    """The service refuses such a cell with the quoted message."""

    code: ClassVar = "wrong_types"
    title: ClassVar = "cells of another type than their column"
    serving: ClassVar = True
    refusals: ClassVar = {"wrong_type", "bad_date", "not_finite", "too_long", "no_words"}
    severity: ClassVar[Severity] = "critical"

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Count the refused cells of each column, and quote the first message."""
        for name in subject.columns:
            counts = subject.cell_counts(name)
            if refused := [cells for code, cells in counts.refused.items() if code in self.refusals]:
                first = min(refused, key=lambda cells: cells.row)
                count = f"{sum(cells.count for cells in refused):,} of {counts.rows:,} rows"
                text = f"{count} are refused; row {first.row}: {first.text}"
                yield self.found(self.severity, name, text, self.advice(subject, name))

    def advice(self, subject: CheckedData, name: str) -> str:
        """Return what to do."""
        return f"correct these cells, or change the type of columns.{name}"
