"""Generalization gap: the metric on test rows is close to that on training rows."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel
from tiltyard.modeling.references.boosted_trees import BoostedTrees


class GeneralizationGap(Check):
    """An over-fitted model loses most of its gain over the baseline on new rows."""

    code: ClassVar = "generalization_gap"
    title: ClassVar = "small train-test gap"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Require the share of the gain over the baseline lost on test rows to be within the task's maximum."""
        limit, gap = duel.task.gate.max_gap, duel.gap
        if duel.task.split.complete:
            raise NotApplicableError("the test rows are the training rows: no row is unseen")
        averaged = [part["model"] for part in duel.facts.get("blend", {}).get("parts", []) if part["weight"]]
        if any(name.startswith(BoostedTrees.title) for name in (*averaged, duel.facts.get("reference", ""))):
            raise NotApplicableError("boosted trees know most training rows by heart, and still predict new rows")
        if gap is None:
            raise NotApplicableError("nothing was gained over the baseline on the training rows")
        test = duel.over_baseline.new
        text = (
            f"{duel.task.gate.metric} {test:.4g} on test rows against {duel.train:.4g} on training rows: "
            f"{gap:.0%} of the gain over the baseline is lost; expected at most {limit:.0%}"
        )
        return Observation(gap <= limit, text, gap, limit)
