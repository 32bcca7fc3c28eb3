"""Attacks: the small change of a row that a model misses the most, by its own slopes; and the same size at random."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.inference.encoder import Encoder

if TYPE_CHECKING:
    from tiltyard.explain.math.gradients import Sloped
    from tiltyard.explain.math.network_view import NetworkView

STEPS = 6  # of an attack that goes on from where it is
REACH = 2.5  # how far these steps would go together if they all went one way, in sizes: past the edge and back


@dataclass(frozen=True)
class PerturbationBudget:
    """How far each feature may go: what a step of size one is, and the bounds; what must stay has a step of zero."""

    unit: Array
    low: Array
    high: Array

    def within(self, moved: Array, features: Array, size: float | Array) -> Array:
        """Bring what was moved back to at most so far from where it was, and into the bounds."""
        reach = size * self.unit
        near = np.clip(moved, features - reach, features + reach)
        low, high = np.minimum(self.low, features), np.maximum(self.high, features)  # a row may lie outside itself
        return np.asarray(np.clip(near, low, high).astype(np.float32))


def room(encoder: Encoder) -> PerturbationBudget:
    """Return pixels steps of brightness, numbers and series their deviation, and all else none."""
    units, lows, highs = [], [], []
    for name, column in encoder.columns.items():
        scales = column.scaling(encoder.fitted[name])
        moves = [column.type in ("number", "series", "image") and place == 0 for place in range(len(scales))]
        low, high = _bounds(column)
        units += [(1.0 if column.type == "image" else std) * moves[place] for place, (_, std) in enumerate(scales)]
        lows += [low if one else -np.inf for one in moves]
        highs += [high if one else np.inf for one in moves]
    return PerturbationBudget(*(np.array(one, dtype=np.float64) for one in (units, lows, highs)))


def _bounds(column: Any) -> tuple[float, float]:
    if column.type == "image":
        return 0.0, 255.0
    low, high = column.limits if isinstance(column, Number) else getattr(column, "bounds", None) or (-np.inf, np.inf)
    return (float(np.log1p(low)), float(np.log1p(high))) if getattr(column, "log", False) else (low, high)


@dataclass(frozen=True)
class AdversarialAttack:
    """Moves rows of a network, at most so far, to where it misses their truth more; `truth` is as it answers."""

    inside: NetworkView
    room: PerturbationBudget

    @cached_property
    def _slopes(self) -> Sloped:
        from tiltyard.explain.math.gradients import value_and_gradient
        from tiltyard.explain.math.network_view import missed

        return value_and_gradient(missed(self.inside))

    def at_once(self, features: Array, truth: Array, size: float | Array) -> Array:
        """Go the whole way along the sign of the slope."""
        _, slopes = self._slopes(features, truth)
        return self.room.within(features + size * self.room.unit * np.sign(slopes), features, size)

    def stepwise(self, features: Array, truth: Array, size: float | Array) -> Array:
        """Go in small steps, each along the slope there, and keep the worst place of each row."""
        worst, most = features, np.full(len(features), -np.inf)
        moved = self.at_once(features, truth, size)
        for _ in range(STEPS):
            missed, slopes = self._slopes(moved, truth)
            better = (missed > most).reshape(-1, *[1] * (features.ndim - 1))
            worst, most = np.where(better, moved, worst), np.maximum(missed, most)
            step = REACH / STEPS * size * self.room.unit * np.sign(slopes)
            moved = self.room.within(moved + step, features, size)
        return worst

    def at_random(self, features: Array, size: float, generator: np.random.Generator) -> Array:
        """Go the whole way, up or down by chance."""
        signs = generator.choice([-1.0, 1.0], features.shape)
        return self.room.within(features + size * self.room.unit * signs, features, size)
