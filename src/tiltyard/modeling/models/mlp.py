"""Multilayer perceptron (MLP): fully connected layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._layers import DroppedLayers

if TYPE_CHECKING:
    import keras


class Mlp(DroppedLayers):
    """Dense layers of the given widths."""

    modalities: ClassVar = ("table", "image", "series")

    family: Literal["mlp"]
    units: list[int] = Field([64, 32], description="Width of each hidden layer.")

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build: flatten, then one dense layer for each width."""
        from keras import layers

        return self.add_dense_layers(layers.Flatten()(self.drop_inputs(features)), self.units)
