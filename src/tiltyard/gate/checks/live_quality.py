"""Not worse than the champion on what clients sent, where that is known."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation, of_gain
from tiltyard.gate.duel import Duel

MIN_TRUTHS = 200  # truths: by fewer, sealed rows say more


class LiveQuality(Check):
    """A challenger that ran beside the champion has truths of its own; they may stop it, but do not let it in."""

    code: ClassVar = "live_quality"
    title: ClassVar = "is not worse by live truths"
    severity: ClassVar = "HOLD"
    repeatable: ClassVar = False  # more truths come

    def observe(self, duel: Duel) -> Observation:
        """Want the interval of the gain to reach zero: a loss beyond chance is one too many."""
        match = duel.live
        if match is None or match.truths < MIN_TRUTHS:
            received = match.truths if match else "too few"
            raise NotApplicableError(f"live truths of both: expected at least {MIN_TRUTHS}; received {received}")
        gain, text = match.gain, f"{match.told(duel.task.gate)}; expected an interval that reaches zero"
        return replace(of_gain(gain, text, good=gain.high >= 0), rows=match.truths)
