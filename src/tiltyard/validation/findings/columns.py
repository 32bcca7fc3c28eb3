"""Missing columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from tiltyard.errors import similar_names
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import MAX_LISTED, Finding, Found, join_first

MAX_COLUMNS_SHOWN = 20  # in one sentence


class Columns(Finding):
    """All features are required; the target may be absent from new data."""

    code: ClassVar = "columns"
    title: ClassVar = "missing columns"
    serving: ClassVar = True

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Compare names, and suggest a similar one; many missing columns suggest a wrong file."""
        if subject.task.modality == "image":
            return
        present = [str(name) for name in subject.frame.columns]
        expected = [*subject.task.columns, *([] if subject.reference else filter(None, [subject.task.target.column]))]
        missing = [name for name in expected if name not in present]
        among = f"among the {len(present):,} columns: {', '.join(present[:MAX_COLUMNS_SHOWN])}"
        if len(missing) > MAX_LISTED:
            text = f"{len(missing):,} of {len(expected):,} columns are missing: {join_first(missing)}"
            text += f"; expected them {among}"
            yield self.found("critical", "", text, "see whether this is the right file, and has a header")
            return
        for name in missing:
            similar = similar_names(name, [candidate for candidate in present if candidate not in expected])
            hint = f"is it the column {similar[0]}? rename it" if similar else "add it to the data"
            yield self.found("critical", name, f"no such column; expected it {among}", hint)
