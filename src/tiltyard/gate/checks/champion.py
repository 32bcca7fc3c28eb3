"""Better than the champion, by enough, and not by luck."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation, of_gain, versus
from tiltyard.gate.duel import Duel


class Champion(Check):
    """Both are measured on the same rows in each resample: what is left is the difference between the models.

    A gain may be smaller than the task's minimum on these rows by chance, so it is enough that it may be as large: else
    a challenger that is better by just the minimum would be held every other time.
    """

    code: ClassVar = "champion"
    title: ClassVar = "beats the champion"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Want the whole interval of the gain above zero, and its upper end at the task's minimum."""
        gain, least = duel.over_champion, duel.task.gate.minimum_gain
        if gain is None:
            raise NotApplicableError("there is no champion yet")
        good, seen = gain.proven and gain.high >= least, gain.seen(duel.confidence)
        text = f"{versus(duel, gain, 'the champion')}; expected an interval above zero that reaches {least:g}"
        if not good and seen > least and gain.value > 0:
            text += f"; {len(duel.truth)} sealed rows show a gain four times in five from {seen:.3g} on"
        return of_gain(gain, text, good=good, limit=least)
