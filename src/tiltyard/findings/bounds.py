"""Values outside the bounds of their column."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.findings.kinds import Kinds


class Bounds(Kinds):
    """A value that cannot be believed stops the road, and is refused when serving."""

    code: ClassVar = "bounds"
    title: ClassVar = "values out of bounds"
    refusals: ClassVar = {"out_of_bounds"}

    def next(self, name: str) -> str:
        """Say what to do."""
        return f"mend the values, or widen columns.{name}.bounds if they can be believed"
