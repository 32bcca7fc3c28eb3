"""The Metric class: score function, direction and title of a metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tiltyard.arrays import Array

# Values from the training rows that a metric needs, such as the error of the naive forecast.
Context = Mapping[str, float]


@dataclass(frozen=True)
class Metric:
    """A metric: `score(truth, outputs, context)`, its direction, and its title."""

    title: str
    score: Callable[[Array, Array, Context], float]
    higher_is_better: bool
    meaning: str

    def gain(self, new: float, old: float) -> float:
        """Return how much better `new` is than `old`; negative if worse."""
        return new - old if self.higher_is_better else old - new
