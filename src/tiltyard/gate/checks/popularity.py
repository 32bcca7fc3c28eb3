"""Recommendations are better than the most popular items, beyond chance."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation, interval_text, of_gain
from tiltyard.gate.duel import Duel

METRIC = "ndcg_at_10"


class Popularity(Check):
    """A model with small errors of ratings may still rank items worse than a list that is the same for all users."""

    code: ClassVar = "popularity"
    title: ClassVar = "recommends better than popularity"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Require the interval of the gain of the ranking to lie above zero."""
        if not duel.task.problem_type.recommends:
            raise NotApplicableError(f"{duel.task.problem} recommends nothing")
        gain = duel.gain_by(METRIC, duel.baseline)
        text = f"{METRIC} {gain.new:.4g} against {gain.old:.4g} of the most popular items: a gain of {gain.value:.4g}"
        return of_gain(gain, f"{text} ({interval_text(duel, gain)}); expected an interval above 0", good=gain.proven)
