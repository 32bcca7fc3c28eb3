"""Calibration: predicted probabilities match how often they are right."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel
from tiltyard.modeling.metrics import scores
from tiltyard.modeling.problems.classification import probabilities

DRAWS = 500
SURE = 0.99  # confidence that an error is not chance: of 30 rows 4 may be wrong where 1 is expected


class Calibration(Check):
    """Of predictions with a probability of 90 %, nine of ten should be right; decisions rely on that."""

    code: ClassVar = "calibration"
    title: ClassVar = "is calibrated"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Require the calibration error beyond chance to be within the task's maximum, or not significant."""
        if not duel.task.classes:
            raise NotApplicableError(f"{duel.task.problem} has no probabilities")
        shares, most = probabilities(duel.challenger).astype(np.float64), duel.task.gate.calibration
        error, chance = scores.ece(duel.truth, shares), _by_chance(shares, duel.task.split.seed)
        usual = float(chance.mean())
        small, by_chance = error - usual <= most, bool(error <= np.quantile(chance, SURE))
        sure, right = float(shares.max(axis=1).mean()), float((shares.argmax(axis=1) == duel.truth).mean())
        text = (
            f"mean confidence {sure:.1%}, accuracy {right:.1%}, calibration error {error:.4g} (Brier score "
            f"{scores.brier(duel.truth, shares):.4g}); expected at most {most:g} above the {usual:.2g} expected "
            "by chance with so many rows"
        )
        rare = f"; one in {1 / (1 - SURE):.0f} calibrated models has an error as large"
        return Observation(small or by_chance, text + ("" if small or not by_chance else rare), error - usual, most)


def _by_chance(shares: Array, seed: int) -> Array:
    """Simulate the calibration errors of a calibrated model on as many rows."""
    generator, sums = np.random.default_rng(seed), shares.cumsum(axis=1)
    sums /= sums[:, -1:]
    truths = [(generator.random((len(shares), 1)) > sums).sum(axis=1) for _ in range(DRAWS)]
    return np.array([scores.ece(truth, shares) for truth in truths])
