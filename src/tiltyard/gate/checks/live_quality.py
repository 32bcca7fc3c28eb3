"""Live quality: not worse than the champion on live requests with known ground truth."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation, of_gain
from tiltyard.gate.duel import Duel

MIN_TRUTHS = 200  # with fewer, the sealed rows are better evidence


class LiveQuality(Check):
    """Live ground truth of a shadow or canary can hold a challenger, but cannot promote it."""

    code: ClassVar = "live_quality"
    title: ClassVar = "is not worse on live traffic"
    severity: ClassVar = "HOLD"
    repeatable: ClassVar = False  # since more ground truth arrives over time

    def observe(self, duel: Duel) -> Observation:
        """Require the interval of the gain to include zero or to lie above it: no significant loss."""
        match = duel.live
        if match is None or match.truths < MIN_TRUTHS:
            received = match.truths if match else "too few"
            raise NotApplicableError(
                f"expected at least {MIN_TRUTHS} ground truths of each version; received {received}"
            )
        text = f"{match.describe(duel.task.gate)}; expected an interval that includes zero or lies above it"
        return replace(of_gain(match.gain, text, good=match.gain.high >= 0), rows=match.truths)
