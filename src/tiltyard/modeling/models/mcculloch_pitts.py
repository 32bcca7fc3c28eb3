"""Threshold units of McCulloch and Pitts: weights and thresholds are given by the task, and nothing is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from tiltyard.arrays import Array
from tiltyard.modeling.models._solved import Part, Solution, SolvedModel, Steps, error_rate, fires, one_unit
from tiltyard.settings import Settings

if TYPE_CHECKING:
    import keras


class Unit(Settings):
    """A unit: 1 if the weighted sum of its inputs reaches the threshold, else 0."""

    weights: list[float] = Field(min_length=1, description="One for each input: positive excites, negative inhibits.")
    threshold: float = Field(description="The weighted sum from which the unit outputs 1.")


class MccullochPitts(SolvedModel):
    """Layers of threshold units; the last layer is one unit, for two labels."""

    modalities: ClassVar = ("table",)
    has_gradients: ClassVar = False

    family: Literal["mcculloch_pitts"]
    output: Literal["sigmoid"] = Field("sigmoid", description="One unit, for two labels; its output is 0 or 1.")
    layers: list[list[Unit]] = Field(min_length=1, description="The units of each layer; the last has one.")

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build all layers but the last."""
        from keras import layers

        x = layers.Flatten()(features)
        refuse_misfit(self.layers, x.shape[-1])
        for units in self.layers[:-1]:
            dense = layers.Dense(len(units), trainable=False, dtype="float32")
            x = fires(dense(x))
            dense.set_weights([*_matrices(units)])
        return x

    def head(self, x: keras.KerasTensor, units: int, activation: str) -> keras.KerasTensor:
        """Add the last unit: a weighted sum, and a step."""
        return fires(super().head(x, one_unit(units), "linear"))

    def solve(self, train: Part, validation: Part, steps: Steps) -> Solution:
        """Return the weights of the last unit as the task gives them, and the errors that they make."""
        weights, bias = _matrices(self.layers[-1])
        errors = [error_rate(*part, weights, bias) for part in (train, validation)]
        history = {name: [error] for name, error in zip(("loss", "val_loss"), errors, strict=True)}
        return Solution(weights, bias, history, {"solved": "by the task, which gives all weights and thresholds"})


def refuse_misfit(layers: list[list[Unit]], width: int) -> None:
    """Raise ValueError unless each unit has a weight for each of its inputs, and the last layer is one unit."""
    if len(layers[-1]) != 1:
        raise ValueError(f"layers: expected one unit in the last layer; received {len(layers[-1])}")
    for number, units in enumerate(layers, 1):
        if wrong := [unit for unit in units if len(unit.weights) != width]:
            received = len(wrong[0].weights)
            raise ValueError(f"layers: expected {width} weights for a unit of layer {number}; received {received}")
        width = len(units)


def _matrices(units: list[Unit]) -> tuple[Array, Array]:
    """Return weights (inputs, units) and bias of a layer: a sum reaches a threshold where sum - threshold is >= 0."""
    weights = np.array([unit.weights for unit in units], dtype=np.float32).T
    return weights, np.array([-unit.threshold for unit in units], dtype=np.float32)
