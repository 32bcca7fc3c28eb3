"""Generalization gap: the metric on test rows is close to that on training rows."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel


class GeneralizationGap(Check):
    """An over-fitted model loses most of its gain over the baseline on new rows."""

    code: ClassVar = "generalization_gap"
    title: ClassVar = "small train-test gap"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Require the share of the gain over the baseline lost on test rows to be within the task's maximum."""
        limit, gap = duel.task.gate.max_gap, duel.gap
        if gap is None:
            raise NotApplicableError("nothing was gained over the baseline on the training rows")
        test = duel.over_baseline.new
        text = (
            f"{duel.task.gate.metric} {test:.4g} on test rows against {duel.train:.4g} on training rows: "
            f"{gap:.0%} of the gain over the baseline is lost; expected at most {limit:.0%}"
        )
        return Observation(gap <= limit, text, gap, limit)
