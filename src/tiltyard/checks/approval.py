"""The word of a person, where the task wants one."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.duel import Duel
from tiltyard.gate import Check, NotApplicableError


class Approval(Check):
    """Figures do not answer for what they lead to; somebody may have to."""

    code: ClassVar = "approval"
    title: ClassVar = "somebody approved it"
    severity: ClassVar = "HOLD"
    repeatable: ClassVar = False  # the word may come at any time

    def complaint(self, duel: Duel) -> str | None:
        """Want an approval of this version in the ledger."""
        if not duel.task.gate.approval:
            raise NotApplicableError("gate.approval does not ask for it")
        if duel.approvals:
            return None
        return f"0 people have approved it; expected 1: tiltyard approve {duel.task.name}"
