"""Better than the simplest honest model."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.duel import Duel
from tiltyard.gate import Check, versus


class Baseline(Check):
    """A model that cannot beat the mean, the majority or the last value has learned nothing."""

    code: ClassVar = "baseline"
    title: ClassVar = "beats the baseline"
    severity: ClassVar = "REJECT"

    def complaint(self, duel: Duel) -> str | None:
        """Want the whole interval of the gain above zero."""
        if duel.over_baseline.proven:
            return None
        return f"{versus(duel, duel.over_baseline, 'the baseline')}; expected an interval above zero"
