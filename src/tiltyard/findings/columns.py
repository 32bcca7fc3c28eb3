"""Columns that are not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import ClassVar

from tiltyard.finding import Finding, Found
from tiltyard.subject import Subject


class Columns(Finding):
    """A feature that is not there cannot be made up; the target may be absent where a model is to find it."""

    code: ClassVar = "columns"
    title: ClassVar = "missing columns"
    serving: ClassVar = True

    def look(self, subject: Subject) -> Iterator[Found]:
        """Compare names, and guess which one was meant."""
        if subject.task.form == "image":
            return
        there = [str(name) for name in subject.frame.columns]
        wanted = [*subject.task.columns, *([] if subject.reference else [subject.task.target.column])]
        for name in wanted:
            if name not in there:
                near = difflib.get_close_matches(name, [one for one in there if one not in wanted], n=1)
                hint = f"is it the column {near[0]}? rename it" if near else "add it to the data"
                text = f"no such column; expected it among the {len(there):,} there are: {', '.join(there[:20])}"
                yield self.found("critical", name, text, hint)
