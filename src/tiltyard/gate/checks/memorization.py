"""The samples of a generative model are no copies of training rows."""

from __future__ import annotations

import math
from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel

ERRORS = 2.0  # standard errors by which a share has to be above the limit


class Memorization(Check):
    """A model that returns its training rows has the best distances, and has learned nothing of other rows."""

    code: ClassVar = "memorization"
    title: ClassVar = "draws no copies of training rows"
    severity: ClassVar = "REJECT"

    def observe(self, duel: Duel) -> Observation:
        """Require few samples that are much nearer to a training row than the nearest test rows are."""
        if not duel.samples:
            raise NotApplicableError(f"{duel.task.problem} draws no samples")
        copies, median, limit = duel.samples["copies"], duel.samples["nearest"], duel.task.gate.copies
        share, rows = copies["share"], copies["rows"]
        error = math.sqrt(max(share * (1 - share), limit * (1 - limit)) / rows)
        text = (
            f"{share:.2%} of {rows} samples are within {copies['limit']:.3g} of a training row, half the distance of "
            f"the nearest 1% of test rows (medians: samples {median['samples']:.3g}, test rows {median['rows']:.3g}); "
            f"expected at most {limit:.2%}, beyond chance"
        )
        return Observation(share - ERRORS * error <= limit, text, share, limit, rows=rows)
