"""Speed of a variant: it predicts faster than its origin."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation, together
from tiltyard.gate.duel import Duel

MOST = 0.95  # of the champion's time


class VariantSpeed(Check):
    """Variant and champion predict the same rows in turns, so that a busy machine slows down both."""

    code: ClassVar = "variant_speed"
    title: ClassVar = "is faster than the model that it is a variant of"
    severity: ClassVar = "HOLD"
    repeatable: ClassVar = False

    def observe(self, duel: Duel) -> Observation:
        """Require the median time for one row, and for a batch, to be below that of the champion."""
        if not duel.time_ratios:
            raise NotApplicableError("it is no variant of the champion")
        return together([_observation(rows, ratio) for rows, ratio in duel.time_ratios.items()])


def _observation(rows: int, ratio: float) -> Observation:
    text = f"{rows} {'row takes' if rows == 1 else 'rows take'} {ratio:.3g} of the champion's time (median)"
    return Observation(ratio <= MOST, f"{text}; expected at most {MOST:g}", ratio, MOST)
