"""Perceptron, or linear model: no hidden layer; optional powers and products of the features."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._layers import WeightSettings

if TYPE_CHECKING:
    import keras


class Perceptron(WeightSettings):
    """Only an output layer; the settings of weights apply to it."""

    modalities: ClassVar = ("table", "image", "series")

    family: Literal["perceptron"]
    powers: int = Field(1, ge=1, le=5, description="Highest power of each feature: 2 adds squares.")
    crossed: bool = Field(default=False, description="Add the product of each pair of features.")

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build the concatenation of features, powers and products."""
        from keras import layers, ops

        x = layers.Flatten()(features)
        terms = [x, *(x**power for power in range(2, self.powers + 1))]
        if self.crossed and (pairs := [*combinations(range(x.shape[-1]), 2)]):
            left, right = (list(indices) for indices in zip(*pairs, strict=True))
            terms.append(ops.take(x, left, axis=-1) * ops.take(x, right, axis=-1))
        return layers.Concatenate()(terms) if len(terms) > 1 else x

    def head(self, x: keras.KerasTensor, units: int, activation: str) -> keras.KerasTensor:
        """Add the output layer, with the settings of weights."""
        from keras import layers

        return layers.Dense(units, activation=activation, dtype="float32", name="output", **self.weights())(x)
