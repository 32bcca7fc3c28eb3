"""The challenger is better than the champion, by the minimum gain and beyond chance."""

from __future__ import annotations

import math
from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation, of_gain, versus
from tiltyard.gate.duel import Duel
from tiltyard.modeling.metrics.bootstrap import Gain


class Champion(Check):
    """Each resample measures both models on the same rows, so the gain shows only the difference between them.

    The interval must reach the minimum gain, not lie above it: otherwise a challenger that is better by exactly the
    minimum would be held half of the time.
    """

    code: ClassVar = "champion"
    title: ClassVar = "beats the champion"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Require the whole interval of the gain to be above zero, and its upper end to reach the task's minimum."""
        gain, minimum = duel.over_champion, duel.task.gate.minimum_gain
        if gain is None:
            raise NotApplicableError("there is no champion yet")
        if duel.is_variant:
            return self._observe_variant(duel, gain)
        if duel.is_refresh and not (gain.proven and gain.high >= minimum):
            return self._observe_refresh(duel, gain)
        good, detectable = gain.proven and gain.high >= minimum, gain.detectable_gain(duel.confidence)
        expected = f"an interval above zero, with an upper end of at least {minimum:g}"
        text = f"{versus(duel, gain, 'the champion')}; expected {expected}"
        if not good and minimum < detectable < math.inf and gain.value > 0:
            text += f"; {len(duel.truth)} sealed rows detect a gain of {detectable:.3g} or more with a power of 80 %"
        return of_gain(gain, text, good=good, limit=minimum)

    def _observe_refresh(self, duel: Duel, gain: Gain) -> Observation:
        """Require the whole interval to be above what a newer challenger may lack (a test of non-inferiority)."""
        minimum = -duel.refresh_margin
        why = [
            *(["was trained on newer data"] if duel.newer else []),
            *([f"serves {duel.refused} sealed rows that the champion refuses"] if duel.refused else []),
        ]
        expected = f"an interval of at least {minimum:.3g} of a challenger that {' and '.join(why)}"
        text = f"{versus(duel, gain, 'the champion')}; expected {expected}"
        return of_gain(gain, text, good=gain.low >= minimum, limit=minimum)

    def _observe_variant(self, duel: Duel, gain: Gain) -> Observation:
        """Require the whole interval of a variant's gain to be above what it may lose."""
        minimum = -duel.tolerance
        text = f"{versus(duel, gain, 'the champion')}; expected of a variant an interval of at least {minimum:.3g}"
        return of_gain(gain, text, good=gain.low >= minimum, limit=minimum)
