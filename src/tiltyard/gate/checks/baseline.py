"""The challenger is better than the baseline, beyond chance."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, Observation, of_gain, versus
from tiltyard.gate.duel import Duel


class Baseline(Check):
    """A model that cannot beat the mean, the majority or the last value has learned nothing."""

    code: ClassVar = "baseline"
    title: ClassVar = "beats the baseline"
    severity: ClassVar = "REJECT"

    def observe(self, duel: Duel) -> Observation:
        """Require the whole interval of the gain to be above zero."""
        gain = duel.over_baseline
        text = f"{versus(duel, gain, 'the baseline')}; expected an interval above zero"
        return of_gain(gain, text, good=gain.proven)
