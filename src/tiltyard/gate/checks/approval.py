"""The word of a person, where the task wants one."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel


class Approval(Check):
    """Figures do not answer for what they lead to; somebody may have to."""

    code: ClassVar = "approval"
    title: ClassVar = "somebody approved it"
    severity: ClassVar = "HOLD"
    repeatable: ClassVar = False  # the word may come at any time

    def observe(self, duel: Duel) -> Observation:
        """Want an approval of this version in the ledger."""
        if not duel.task.gate.approval:
            raise NotApplicableError("gate.approval does not ask for it")
        if duel.approvals:
            names = ", ".join(duel.approvals)
            return Observation(True, f"{len(duel.approvals)} approved it, {names}; expected 1", len(duel.approvals), 1)
        return Observation(False, f"0 people have approved it; expected 1: tiltyard approve {duel.task.name}", 0, 1)
