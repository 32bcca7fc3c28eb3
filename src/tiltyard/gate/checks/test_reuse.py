"""Test reuse: how many versions the same test rows have judged before."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel


class TestReuse(Check):
    """Each version judged on the same rows makes a lucky result likelier, so the next needs a wider interval."""

    code: ClassVar = "test_reuse"
    title: ClassVar = "is judged on fresh rows"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Require the number of versions judged before to be within the task's maximum."""
        limit = duel.task.gate.uses
        if duel.task.split.complete:
            raise NotApplicableError("the rows are all combinations of the columns' values: none could be fresh")
        text = f"the sealed rows have judged {duel.uses} versions before; expected at most {limit}"
        cure = f": fetch fresh data, then tiltyard prepare {duel.task.name} --reseal"
        return Observation(duel.uses <= limit, text + ("" if duel.uses <= limit else cure), duel.uses, limit)
