"""Judged on rows that have not judged too many before."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.duel import Duel
from tiltyard.gate import Check


class Worn(Check):
    """Each version that is judged on the same rows makes luck likelier, and so asks more of the next."""

    code: ClassVar = "worn"
    title: ClassVar = "is judged on fresh rows"
    severity: ClassVar = "HOLD"

    def complaint(self, duel: Duel) -> str | None:
        """Want the sealed rows to have judged at most so many."""
        most = duel.task.gate.uses
        if duel.uses <= most:
            return None
        return (
            f"the sealed rows have judged {duel.uses} versions before; expected at most {most}: fetch fresh data, "
            f"then tiltyard prepare {duel.task.name} --reseal"
        )
