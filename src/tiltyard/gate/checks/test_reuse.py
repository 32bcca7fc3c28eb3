"""Judged on rows that have not judged too many before."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, Observation
from tiltyard.gate.duel import Duel


class TestReuse(Check):
    """Each version that is judged on the same rows makes luck likelier, and so asks more of the next."""

    code: ClassVar = "test_reuse"
    title: ClassVar = "is judged on fresh rows"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Want the sealed rows to have judged at most so many."""
        most = duel.task.gate.uses
        text = f"the sealed rows have judged {duel.uses} versions before; expected at most {most}"
        cure = f": fetch fresh data, then tiltyard prepare {duel.task.name} --reseal"
        return Observation(duel.uses <= most, text + ("" if duel.uses <= most else cure), duel.uses, most)
