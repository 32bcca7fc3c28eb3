"""Long short-term memory layers over a window of a series."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.model import Activation, Model

if TYPE_CHECKING:
    import keras


class Lstm(Model):
    """Stacked LSTM layers, then dense ones."""

    forms: ClassVar = ("series",)

    family: Literal["lstm"]
    units: list[int] = Field([32], min_length=1, description="Width of each LSTM layer.")
    dense: list[int] = Field([], description="Width of each dense layer behind them.")
    activation: Activation = Field("relu", description="Of the dense layers; the LSTM keeps the one cuDNN needs.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Between layers, not inside the recurrence.")

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """All LSTM layers but the last hand on whole sequences."""
        from keras import layers

        x = features
        for place, width in enumerate(self.units, start=1):
            x = layers.LSTM(width, return_sequences=place < len(self.units))(x)
            x = layers.Dropout(self.dropout)(x) if self.dropout else x
        for width in self.dense:
            x = layers.Dense(width, activation=self.activation)(x)
        return x
