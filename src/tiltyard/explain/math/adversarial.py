"""Adversarial attacks: FGSM and PGD within a perturbation budget, and random sign noise of the same size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.inference.encoder import Encoder

if TYPE_CHECKING:
    from tiltyard.explain.math.gradients import ValueAndGradient
    from tiltyard.explain.math.network_view import NetworkView

STEPS = 6  # of projected gradient descent
TOTAL_REACH = 2.5  # sum of all step lengths, in multiples of the size: enough to cross the whole budget


@dataclass(frozen=True)
class PerturbationBudget:
    """How far each feature may move: the step of a perturbation of size one, and bounds. A fixed feature has step 0."""

    step: Array
    low: Array
    high: Array

    def project(self, moved: Array, features: Array, size: float | Array) -> Array:
        """Clip moved features to the given size around the original ones, and to the bounds."""
        distance = size * self.step
        clipped = np.clip(moved, features - distance, features + distance)
        low, high = (
            np.minimum(self.low, features),
            np.maximum(self.high, features),
        )  # a row may be out of bounds already
        return np.asarray(np.clip(clipped, low, high).astype(np.float32))


def perturbation_budget(encoder: Encoder) -> PerturbationBudget:
    """Return the steps of an encoder: a grey level for pixels, a deviation for numbers and series, 0 otherwise."""
    steps, lows, highs = [], [], []
    for name, column in encoder.columns.items():
        scales = column.scaling(encoder.fitted[name])
        can_move = [column.type in ("number", "series", "image") and place == 0 for place in range(len(scales))]
        low, high = _bounds(column)
        steps += [(1.0 if column.type == "image" else std) * can_move[place] for place, (_, std) in enumerate(scales)]
        lows += [low if movable else -np.inf for movable in can_move]
        highs += [high if movable else np.inf for movable in can_move]
    return PerturbationBudget(*(np.array(movable, dtype=np.float64) for movable in (steps, lows, highs)))


def _bounds(column: Any) -> tuple[float, float]:
    if column.type == "image":
        return 0.0, 255.0
    low, high = column.limits if isinstance(column, Number) else getattr(column, "bounds", None) or (-np.inf, np.inf)
    return (float(np.log1p(low)), float(np.log1p(high))) if getattr(column, "log", False) else (low, high)


@dataclass(frozen=True)
class AdversarialAttack:
    """Perturb rows so that the network's loss grows. `truth` holds label indices or numbers."""

    view: NetworkView
    budget: PerturbationBudget

    @cached_property
    def _loss_gradient(self) -> ValueAndGradient:
        from tiltyard.explain.math.gradients import value_and_gradient
        from tiltyard.explain.math.network_view import loss_function

        return value_and_gradient(loss_function(self.view))

    def fgsm(self, features: Array, truth: Array, size: float | Array) -> Array:
        """Take one step along the sign of the gradient (fast gradient sign method)."""
        _, gradients = self._loss_gradient(features, truth)
        return self.budget.project(features + size * self.budget.step * np.sign(gradients), features, size)

    def pgd(self, features: Array, truth: Array, size: float | Array) -> Array:
        """Take several projected gradient steps, and return for each row the point with the highest loss."""
        worst, highest = features, np.full(len(features), -np.inf)
        moved = self.fgsm(features, truth, size)
        for _ in range(STEPS):
            losses, gradients = self._loss_gradient(moved, truth)
            better = (losses > highest).reshape(-1, *[1] * (features.ndim - 1))
            worst, highest = np.where(better, moved, worst), np.maximum(losses, highest)
            step = TOTAL_REACH / STEPS * size * self.budget.step * np.sign(gradients)
            moved = self.budget.project(moved + step, features, size)
        return worst

    def random_sign(self, features: Array, size: float, generator: np.random.Generator) -> Array:
        """Move each feature by the whole size, up or down at random."""
        signs = generator.choice([-1.0, 1.0], features.shape)
        return self.budget.project(features + size * self.budget.step * signs, features, size)
