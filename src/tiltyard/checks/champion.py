"""Better than the champion, by enough, and not by luck."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.duel import Duel
from tiltyard.gate import Check, NotApplicableError, versus


class Champion(Check):
    """Both are measured on the same rows in each resample: what is left is the difference between the models."""

    code: ClassVar = "champion"
    title: ClassVar = "beats the champion"
    severity: ClassVar = "HOLD"

    def complaint(self, duel: Duel) -> str | None:
        """Want the whole interval of the gain above zero, and the gain itself at the task's minimum."""
        gain, least = duel.over_champion, duel.task.gate.minimum_gain
        if gain is None:
            raise NotApplicableError("there is no champion yet")
        if gain.proven and gain.value >= least:
            return None
        return f"{versus(duel, gain, 'the champion')}; expected at least {least:g} and an interval above zero"
