"""The data are real: a model of generated data that stand in for missing files is no result."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, Observation
from tiltyard.gate.duel import Duel


class StandIn(Check):
    """Figures on a stand-in prove nothing about the real data, however good they are."""

    code: ClassVar = "stand_in"
    title: ClassVar = "was trained on real data, not on a stand-in"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Require real data, or that the command allowed a stand-in."""
        reason, limit = duel.facts.get("stand_in"), 1.0 if duel.allow_stand_in else 0.0
        if not reason:
            return Observation(True, f"0 of 1 data sets are a stand-in; expected at most {limit:g}", 0.0, limit)
        expected = "expected at most 1, by --allow-stand-in" if duel.allow_stand_in else "expected 0: the real files"
        more = "" if duel.allow_stand_in else ", or --allow-stand-in"
        return Observation(
            duel.allow_stand_in, f"1 of 1 data sets is a stand-in: {reason}; {expected}{more}", 1.0, limit
        )
