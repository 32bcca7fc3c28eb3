"""Calibration: predicted probabilities match how often they are right."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel
from tiltyard.modeling.metrics import curves, scores
from tiltyard.modeling.metrics.dependence import Dependence
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
        if not duel.task.labels or duel.task.problem_type.targets in ("objects", "mask"):
            raise NotApplicableError(f"{duel.task.problem} has no probabilities of whole rows")
        (about, truth, shares), limit = _judged(duel), duel.task.gate.calibration
        error, chance = scores.ece(truth, shares), _errors_by_chance(duel, truth, shares)
        usual = float(chance.mean())
        small, by_chance = error - usual <= limit, bool(error <= np.quantile(chance, SURE))
        sure, right = float(shares.max(axis=1).mean()), float((shares.argmax(axis=1) == truth).mean())
        text = (
            f"{about}mean confidence {sure:.1%}, accuracy {right:.1%}, calibration error {error:.4g} (Brier score "
            f"{scores.brier(truth, shares):.4g}); expected at most {limit:g} above the {usual:.2g} expected "
            "by chance with so many rows"
        )
        rare = f"; one in {1 / (1 - SURE):.0f} calibrated models has an error as large"
        return Observation(small or by_chance, text + ("" if small or not by_chance else rare), error - usual, limit)


def _judged(duel: Duel) -> tuple[str, Array, Array]:
    """Return truth and probabilities; of several labels, those of the presence of the label with the largest error."""
    shares = probabilities(duel.challenger).astype(np.float64)
    if duel.task.problem != "multilabel":
        return "", duel.truth, shares
    pairs = [np.stack([1 - column, column], axis=1) for column in shares.T]
    truths = duel.truth.T.astype(np.int64)
    worst = int(np.argmax([scores.ece(truth, pair) for truth, pair in zip(truths, pairs, strict=True)]))
    return f"{duel.task.labels[worst]}, the label with the largest error: ", truths[worst], pairs[worst]


def _errors_by_chance(duel: Duel, truth: Array, shares: Array) -> Array:
    seed = duel.task.split.seed
    return _between_units(duel.dependence, truth, shares, seed) if duel.dependence else _by_chance(shares, seed)


def _between_units(dependence: Dependence, truth: Array, shares: Array, seed: int) -> Array:
    """Return calibration errors after giving the differences of each group or block a random sign (wild bootstrap).

    In a calibrated model they are as often positive as negative, and have one sign within a group or block.
    """
    sure = shares.max(axis=1)
    missed = sure - (shares.argmax(axis=1) == truth)
    blocks = dependence.blocks(lambda places: missed[places].mean(keepdims=True))
    bins = np.array_split(np.argsort(sure, kind="stable"), min(curves.BINS, len(truth)))
    generator = np.random.default_rng(seed)
    signs = (blocks.signs(generator) for _ in range(DRAWS))
    return np.array([sum(abs((missed * sign)[part].sum()) for part in bins) / len(truth) for sign in signs])


def _by_chance(shares: Array, seed: int) -> Array:
    """Simulate the calibration errors of a calibrated model on as many rows."""
    generator, sums = np.random.default_rng(seed), shares.cumsum(axis=1)
    sums /= sums[:, -1:]
    truths = [(generator.random((len(shares), 1)) > sums).sum(axis=1) for _ in range(DRAWS)]
    return np.array([scores.ece(truth, shares) for truth in truths])
