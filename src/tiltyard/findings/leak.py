"""A feature that alone tells the target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from tiltyard.finding import Finding, Found
from tiltyard.leak import ALIKE, SURE, leaks
from tiltyard.subject import Subject

ROWS = 10_000  # enough for a small tree


class Leak(Finding):
    """What knows the answer is not known when the model is asked; a good figure with it is a lie."""

    code: ClassVar = "leak"
    title: ClassVar = "features that alone tell the target"

    def look(self, subject: Subject) -> Iterator[Found]:
        """Try each feature by rank and through a small tree."""
        if subject.truth is None or subject.task.form != "table":
            return
        labels = bool(subject.task.classes)
        step = max(1, len(subject.truth) // ROWS)
        truth = subject.truth[::step].tolist()
        for name, column in subject.columns.items():
            if score := leaks(column.cells[::step], truth, labels=labels):
                text = f"alone it tells {subject.task.target.column}, {score:.1%} right; expected below "
                yield self.found(
                    "critical",
                    name,
                    text + f"{SURE if labels else ALIKE:.1%} of any feature that is known beforehand",
                    f"if it is known only after {subject.task.target.column} is, remove it from `columns:`",
                )
