"""Cells that are not what their column holds: a word among numbers, a date that is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Finding, Found, Severity


class WrongTypes(Finding):
    """The service refuses such a cell in the words quoted here."""

    code: ClassVar = "wrong_types"
    title: ClassVar = "cells of another type than their column"
    serving: ClassVar = True
    refusals: ClassVar = {"wrong_type", "bad_date", "not_finite", "too_long", "no_words"}
    severity: ClassVar[Severity] = "critical"

    def look(self, subject: CheckedData) -> Iterator[Found]:
        """Count what the column refuses, and quote the first refusal."""
        for name, column in subject.columns.items():
            refused = [refusal for refusal in column.refused if refusal.code in self.refusals]
            if refused:
                first = refused[0]
                count = f"{len(refused):,} of {len(column.parsed):,} rows"
                text = f"{count} are refused; row {subject.row(first.place)}: {first.text}"
                yield self.found(self.severity, name, text, self.next(subject, name))

    def next(self, subject: CheckedData, name: str) -> str:
        """Return what to do."""
        return f"mend these cells, or change the type of columns.{name}"
