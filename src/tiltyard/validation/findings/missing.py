"""Missing values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, get_args

from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Finding, Found, removal_advice, share


class Missing(Finding):
    """More missing values than the task allows are a fault, or a change of the data."""

    code: ClassVar = "missing"
    title: ClassVar = "missing values"
    serving: ClassVar = True

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Count by column; none are allowed where the column refuses them."""
        for name in subject.columns:
            counts = subject.cell_counts(name)
            missing, rows = counts.missing, counts.rows
            limit = subject.task.check.missing
            if missing == rows:
                text = f"all of {rows:,} rows are missing; expected values"
                yield self.found("critical", name, text, f"{removal_advice(subject, name)}, or correct the source")
            elif missing and "missing" in counts.refused:
                text = (
                    f"{share(missing, rows)} rows are missing, the first is row {counts.first_missing}; expected none"
                )
                yield self.found("critical", name, text, _repair_advice(subject, name))
            elif missing > limit * rows:
                text = f"{share(missing, rows)} rows are missing; expected at most {limit:.0%}"
                hint = f"correct the source, {removal_advice(subject, name)}, or raise check.missing"
                yield self.found("warning", name, text, hint)


def _repair_advice(subject: CheckedData, name: str) -> str:
    """Return what to do; a series allows no missing value."""
    field = type(subject.task.columns[name]).model_fields.get("missing")
    alternative = next((option for option in get_args(field.annotation) if option != "refuse"), "") if field else ""
    return (
        f"correct the data, or set `missing: {alternative}` under columns.{name}"
        if alternative
        else "fill the gaps in the data"
    )
