"""Fully connected layers: for tables, and the yardstick for everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.model import Activation, Model

if TYPE_CHECKING:
    import keras


class Mlp(Model):
    """Dense layers of the given widths."""

    forms: ClassVar = ("table", "image", "series")

    family: Literal["mlp"]
    units: list[int] = Field([64, 32], description="Width of each hidden layer.")
    activation: Activation = "relu"
    dropout: float = Field(0.0, ge=0, lt=1)
    l2: float = Field(0.0, ge=0)

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Flatten, then one Dense layer a width."""
        from keras import layers, regularizers

        x = layers.Flatten()(features)
        for width in self.units:
            penalty = regularizers.L2(self.l2) if self.l2 else None
            x = layers.Dense(width, activation=self.activation, kernel_regularizer=penalty)(x)
            if self.dropout:
                x = layers.Dropout(self.dropout)(x)
        return x
