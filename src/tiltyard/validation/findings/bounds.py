"""Values outside the bounds of their column."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.wrong_types import WrongTypes


class Bounds(WrongTypes):
    """A value that cannot be believed stops the road, and is refused when serving."""

    code: ClassVar = "bounds"
    title: ClassVar = "values out of bounds"
    refusals: ClassVar = {"out_of_bounds"}

    def next(self, subject: CheckedData, name: str) -> str:
        """Return what to do; a logarithm takes no bounds below 0."""
        free = f"take columns.{name}.log out and " if getattr(subject.task.columns[name], "log", False) else ""
        return f"mend the values, or {free}widen columns.{name}.bounds if they can be believed"
