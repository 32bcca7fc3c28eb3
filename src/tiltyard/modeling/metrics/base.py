"""The type of a metric: one figure about predictions, and what it says to people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tiltyard.arrays import Array

# Facts about the training rows that a metric may need, such as the error of the naive forecast.
Context = Mapping[str, float]


@dataclass(frozen=True)
class Metric:
    """A figure about predictions: `score(truth, outputs, context)`, which way is up, and what it says to people."""

    title: str
    score: Callable[[Array, Array, Context], float]
    higher_is_better: bool
    meaning: str

    def gain(self, new: float, old: float) -> float:
        """Return by how much `new` is better than `old`; negative if it is worse."""
        return new - old if self.higher_is_better else old - new
