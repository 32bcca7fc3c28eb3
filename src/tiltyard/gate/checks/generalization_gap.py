"""As good on new rows as on those it was trained on, or nearly."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel


class GeneralizationGap(Check):
    """A model that knows its training rows by heart will disappoint; how much is left over the baseline tells."""

    code: ClassVar = "generalization_gap"
    title: ClassVar = "small train-test gap"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Want the share of the gain over the baseline that is lost on test rows at the task's maximum."""
        most, gap = duel.task.gate.max_gap, duel.gap
        if gap is None:
            raise NotApplicableError("nothing was gained over the baseline on the training rows")
        test = duel.over_baseline.new
        text = (
            f"{duel.task.gate.metric} {test:.4g} on test rows against {duel.train:.4g} on training rows: "
            f"{gap:.0%} of the gain over the baseline is lost; expected at most {most:.0%}"
        )
        return Observation(gap <= most, text, gap, most)
