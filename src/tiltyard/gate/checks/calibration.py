"""Probabilities that mean what they say."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel
from tiltyard.modeling.metrics import scores
from tiltyard.modeling.problems.classification import probabilities

DRAWS = 500
SURE = 0.99  # that it is not chance: of thirty rows four may be wrong where one is to be expected


class Calibration(Check):
    """Of what is said to be 90 % sure, nine of ten should be right: whoever acts on probabilities counts on it."""

    code: ClassVar = "calibration"
    title: ClassVar = "is as sure as it is right"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Want the calibration error, less what chance makes of it, at the task's maximum, or all of it chance."""
        if not duel.task.classes:
            raise NotApplicableError(f"{duel.task.problem} states no probabilities")
        shares, most = probabilities(duel.challenger).astype(np.float64), duel.task.gate.calibration
        error, chance = scores.ece(duel.truth, shares), _by_chance(shares, duel.task.split.seed)
        usual = float(chance.mean())
        small, by_chance = error - usual <= most, bool(error <= np.quantile(chance, SURE))
        sure, right = float(shares.max(axis=1).mean()), float((shares.argmax(axis=1) == duel.truth).mean())
        text = (
            f"{sure:.1%} sure and {right:.1%} right on the average, a calibration error of {error:.4g} (Brier score "
            f"{scores.brier(duel.truth, shares):.4g}); expected at most {most:g} above the {usual:.2g} that chance "
            "makes of so many rows"
        )
        rare = f"; one in {1 / (1 - SURE):.0f} models that mean what they say has as large an error"
        return Observation(small or by_chance, text + ("" if small or not by_chance else rare), error - usual, most)


def _by_chance(shares: Array, seed: int) -> Array:
    """Return errors that a model which means what it says would have on so many rows: few rows are never even."""
    generator, sums = np.random.default_rng(seed), shares.cumsum(axis=1)
    sums /= sums[:, -1:]
    drawn = [(generator.random((len(shares), 1)) > sums).sum(axis=1) for _ in range(DRAWS)]
    return np.array([scores.ece(truth, shares) for truth in drawn])
