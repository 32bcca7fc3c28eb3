"""Missing values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, get_args

from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Finding, Found, share, without


class Missing(Finding):
    """More missing values than the task allows are a fault, or a change of the data."""

    code: ClassVar = "missing"
    title: ClassVar = "missing values"
    serving: ClassVar = True

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Count by column; none are allowed where the column refuses them."""
        for name in subject.columns:
            counts = subject.cell_counts(name)
            gone, rows = counts.missing, counts.rows
            most = subject.task.check.missing
            if gone == rows:
                text = f"all of {rows:,} rows are missing; expected values"
                yield self.found("critical", name, text, f"{without(subject, name)}, or correct the source")
            elif gone and "missing" in counts.refused:
                text = f"{share(gone, rows)} rows are missing, the first is row {counts.first_missing}; expected none"
                yield self.found("critical", name, text, _mend(subject, name))
            elif gone > most * rows:
                text = f"{share(gone, rows)} rows are missing; expected at most {most:.0%}"
                hint = f"correct the source, {without(subject, name)}, or raise check.missing"
                yield self.found("warning", name, text, hint)


def _mend(subject: CheckedData, name: str) -> str:
    """Return what to do; a series allows no missing value."""
    way = type(subject.task.columns[name]).model_fields.get("missing")
    other = next((one for one in get_args(way.annotation) if one != "refuse"), "") if way else ""
    return f"correct the data, or set `missing: {other}` under columns.{name}" if other else "fill the gaps in the data"
