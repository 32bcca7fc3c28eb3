"""The Metric class: score function, direction and title of a metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tiltyard.arrays import Array
from tiltyard.modeling.problems.base import Threshold

# Values from the training rows that a metric needs, such as the error of the naive forecast or scales of targets.
Context = Mapping[str, Any]


@dataclass(frozen=True)
class Metric:
    """A metric: `score(truth, outputs, context)`, its direction, and its title."""

    title: str
    score: Callable[[Array, Array, Context], float]
    higher_is_better: bool
    meaning: str
    bounds: tuple[float, float] = (-math.inf, math.inf)  # of its values

    def bounded(self, interval: tuple[float, float]) -> list[float] | None:
        """Return an interval as JSON, within the bounds; None if it is not known."""
        if not all(map(math.isfinite, interval)):
            return None
        lowest, highest = self.bounds
        return [min(max(float(end), lowest), highest) for end in interval]

    def gain(self, new: float, old: float) -> float:
        """Return how much better `new` is than `old`; negative if worse."""
        return new - old if self.higher_is_better else old - new


def with_threshold(context: Context, threshold: Threshold | None) -> Context:
    """Return the context with the decision threshold of a model, or those of several labels, which metrics use."""
    return context if threshold is None else {**context, "threshold": threshold}
