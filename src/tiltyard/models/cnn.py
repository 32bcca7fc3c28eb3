"""Convolution blocks, each halving the picture, then dense layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.model import Activation, Model

if TYPE_CHECKING:
    import keras


class Cnn(Model):
    """One convolution, normalisation and pooling a block."""

    forms: ClassVar = ("image",)

    family: Literal["cnn"]
    filters: list[int] = Field([32, 64], min_length=1, description="Filters of each block.")
    kernel: int = Field(3, ge=1)
    units: list[int] = Field([64], description="Width of each dense layer behind the blocks.")
    activation: Activation = "relu"
    batch_norm: bool = False
    dropout: float = Field(0.0, ge=0, lt=1)

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Blocks, flatten, dense layers with dropout."""
        from keras import layers

        x = features
        for filters in self.filters:
            x = layers.Conv2D(filters, self.kernel, padding="same", use_bias=not self.batch_norm)(x)
            x = layers.BatchNormalization()(x) if self.batch_norm else x
            x = layers.MaxPooling2D()(layers.Activation(self.activation)(x))
        x = layers.Flatten()(x)
        for width in self.units:
            x = layers.Dense(width, activation=self.activation)(x)
            x = layers.Dropout(self.dropout)(x) if self.dropout else x
        return x
