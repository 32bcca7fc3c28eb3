"""Detector: one stage without anchors; a grid of cells, each with a score for each label and the sides of a box."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._layers import ConvLayers

if TYPE_CHECKING:
    import keras

RARE = 0.01  # score of every label before training, since few cells are the middle of an object
SIDE = 0.15  # share of the picture that a box extends to each side before training


class Detector(ConvLayers):
    """Convolutions to a grid a fourth of the picture's size, with context from one half of that, and two heads."""

    modalities: ClassVar = ("image",)
    problems: ClassVar = ("detection", "tracking")

    family: Literal["detector"]
    filters: tuple[int, int, int] = Field(
        (24, 48, 96), strict=False, description="Filters at a half, a fourth and an eighth of the picture's size."
    )
    blocks: int = Field(2, ge=1, le=12, description="Residual blocks of two convolutions at a fourth and at an eighth.")
    batch_norm: bool = Field(default=True, description="Batch normalisation after each convolution.")

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build the maps that both heads read."""
        from keras import layers

        if len(features.shape) != 4 or min(features.shape[1:3]) < 16 or any(side % 8 for side in features.shape[1:3]):
            raise ValueError("expected height and width that are multiples of 8, from 16 on")
        half, fourth, eighth = self.filters
        x = self.convolution(features, half, 3, strides=2)
        x = self.convolution(x, fourth, 3, strides=2)
        for _ in range(self.blocks):
            x = self._block(x, fourth)
        context = self.convolution(x, eighth, 3, strides=2)
        for _ in range(self.blocks):
            context = self._block(context, eighth)
        context = layers.UpSampling2D(2)(self.convolution(context, fourth, 1))
        return self.convolution(layers.Concatenate()([x, context]), fourth, 3)

    def head(self, x: keras.KerasTensor, units: int, activation: str) -> keras.KerasTensor:
        """Add the heads: scores of labels and sides of boxes, all from 0 to 1."""
        from keras import initializers, layers

        heads = []
        for name, outputs, start in (("scores", units - 4, RARE), ("sides", 4, SIDE)):
            bias = initializers.Constant(math.log(start / (1 - start)))
            options = {"activation": activation, "dtype": "float32", "bias_initializer": bias}
            heads.append(layers.Conv2D(outputs, 1, name=name, **options)(x))
        return layers.Concatenate(name="output", dtype="float32")(heads)

    @property
    def one_output_layer(self) -> bool:
        """False: there are two heads."""
        return False

    def _block(self, x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
        from keras import layers

        residual = self.convolution(self.convolution(x, filters, 3), filters, 3, activate=False)
        return self.apply_activation(layers.Add()([x, residual]))
