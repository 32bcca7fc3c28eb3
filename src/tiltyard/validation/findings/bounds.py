"""Values outside the bounds of their column."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.wrong_types import WrongTypes


class Bounds(WrongTypes):
    """Such a value stops the pipeline, and the service refuses it."""

    code: ClassVar = "bounds"
    title: ClassVar = "values out of bounds"
    refusals: ClassVar = {"out_of_bounds"}

    def advice(self, subject: CheckedData, name: str) -> str:
        """Return what to do; columns with a logarithm cannot have bounds below 0."""
        free = f"remove columns.{name}.log and " if getattr(subject.task.columns[name], "log", False) else ""
        return f"correct the values, or {free}widen columns.{name}.bounds if they are plausible"
