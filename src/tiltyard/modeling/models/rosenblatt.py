"""Rosenblatt's perceptron: a threshold unit that learns from its mistakes, row by row.

The bias is the weight of an input that is always 1. If a line (or plane) separates the labels, the rule ends with one;
if not, the weights return to earlier ones sooner or later, and the rule never ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from tiltyard.arrays import Array
from tiltyard.modeling.models._solved import Part, Solution, SolvedModel, Steps, error_rate, fires, one_unit

if TYPE_CHECKING:
    import keras

GRID = 1024  # initial weights are multiples of 1/1024, so that sums are exact
INITIAL = 0.5  # the largest absolute one
OUTCOMES = {
    "separated": "all training rows are right",
    "cycle": "the weights returned to those of an earlier epoch, so that the rule can never end: "
    "no line separates the labels",
    "unfinished": "some training rows are wrong",
}


class Rosenblatt(SolvedModel):
    """One unit, for two labels; its output is 1 or 0, not a probability."""

    modalities: ClassVar = ("table",)
    has_gradients: ClassVar = False

    family: Literal["rosenblatt"]
    output: Literal["sigmoid"] = Field("sigmoid", description="One unit, for two labels; its output is 0 or 1.")

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build: flatten."""
        from keras import layers

        return layers.Flatten()(features)

    def head(self, x: keras.KerasTensor, units: int, activation: str) -> keras.KerasTensor:
        """Add the unit: a weighted sum, and a step."""
        return fires(super().head(x, one_unit(units), "linear"))

    def solve(self, train: Part, validation: Part, steps: Steps) -> Solution:
        """Apply the rule to each row in order, for so many epochs."""
        rows = np.column_stack([np.ones(len(train[0])), train[0]])
        largest = int(INITIAL * GRID)
        drawn = np.random.default_rng(steps.seed).integers(-largest, largest, rows.shape[1])
        weights: Array = np.asarray(drawn / GRID)
        history: dict[str, list[float]] = {"loss": [], "val_loss": []}
        known, cycles = {weights.tobytes()}, False
        for _ in range(steps.count):
            weights, mistakes = epoch(rows, train[1][:, 0], weights, steps.rate)
            for name, (inputs, targets) in (("loss", train), ("val_loss", validation)):
                history[name].append(error_rate(inputs, targets, weights[1:, None], weights[:1]))
            cycles = cycles or (mistakes > 0 and weights.tobytes() in known)
            known.add(weights.tobytes())
        outcome = "separated" if history["loss"][-1] == 0 else "cycle" if cycles else "unfinished"
        facts = {"outcome": outcome, "solved": f"by Rosenblatt's rule, {steps.count} epochs: {OUTCOMES[outcome]}"}
        return Solution(weights[1:, None], weights[:1], history, facts)


def epoch(rows: Array, targets: Array, weights: Array, rate: float) -> tuple[Array, int]:
    """Return the weights after each row has been seen once, and the number of mistakes; each row begins with 1."""
    mistakes = 0
    for row, target in zip(rows, targets, strict=True):
        error = float(target) - float(row @ weights >= 0)
        weights = weights + rate * error * row
        mistakes += error != 0
    return weights, mistakes
