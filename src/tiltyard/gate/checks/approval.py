"""Human approval, where the task requires it."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel


class Approval(Check):
    """Metrics carry no responsibility; some tasks need a person who does."""

    code: ClassVar = "approval"
    title: ClassVar = "a person approved it"
    severity: ClassVar = "HOLD"
    repeatable: ClassVar = False  # an approval may come at any time

    def observe(self, duel: Duel) -> Observation:
        """Require an approval of this version in the ledger."""
        if not duel.task.gate.approval:
            raise NotApplicableError("gate.approval does not require one")
        if duel.approvals:
            names = ", ".join(duel.approvals)
            return Observation(True, f"{len(duel.approvals)} approved it, {names}; expected 1", len(duel.approvals), 1)
        return Observation(False, f"0 people have approved it; expected 1: tiltyard approve {duel.task.name}", 0, 1)
