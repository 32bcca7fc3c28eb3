"""Recurrent network (LSTM, GRU, simple RNN) over series, texts or the rows of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._layers import DenseLayers

if TYPE_CHECKING:
    import keras


class Rnn(DenseLayers):
    """Stacked recurrent layers, then dense layers. Recurrent layers keep the activations that cuDNN needs."""

    modalities: ClassVar = ("series", "text", "prose", "image")

    family: Literal["rnn"]
    cell: Literal["simple", "lstm", "gru"] = "lstm"
    units: list[int] = Field([32], min_length=1, description="Width of each recurrent layer.")
    bidirectional: bool = Field(default=False, description="Read in both directions, each with the widths of `units`.")
    attention: bool = Field(
        default=False, description="Pass on a learned weighted mean of all steps (attention), not the last step."
    )
    whole: bool = Field(default=False, description="Pass on all steps, not the last one: required for prose.")
    dense: list[int] = Field([], description="Width of each dense layer after them.")
    embedding: int = Field(32, ge=1, description="Length of a word vector, for texts.")
    frame: int = Field(1, ge=1, description="How many consecutive values of a series form one step.")

    @property
    def steps(self) -> bool:
        """Whether it returns all steps and reads in one direction, so that no step depends on later ones."""
        return self.whole and not (self.bidirectional or self.attention)

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build the layers; all recurrent layers but the last return sequences."""
        x, there = self._steps(features, vocabulary_size)
        hidden = len(self.units) + len(self.dense)
        for place, width in enumerate(self.units):
            whole = self.attention or self.whole or place + 1 < len(self.units)
            x = self.dropped(self._recurrent(width, whole=whole)(x), place, hidden)
        x = _attended(x, there) if self.attention else x
        return self.stacked(x, self.dense, before=len(self.units))

    def _steps(self, features: keras.KerasTensor, words: int) -> tuple[keras.KerasTensor, keras.KerasTensor | None]:
        """Return the input as (rows, steps, features), and the mask of steps that are not padding."""
        from keras import layers, ops

        if words:
            return layers.Embedding(words, self.embedding, mask_zero=True)(features), ops.not_equal(features, 0.0)
        steps, numbers = features.shape[1], features.shape[2] * (features.shape[3:] or (1,))[0]
        if steps % self.frame:
            raise ValueError(f"frame: expected a divisor of {steps}, the number of steps; received {self.frame}")
        same = self.frame == 1 and len(features.shape) == 3
        return features if same else layers.Reshape((steps // self.frame, self.frame * numbers))(features), None

    def _recurrent(self, width: int, *, whole: bool) -> Any:
        from keras import layers

        cell = {"simple": layers.SimpleRNN, "lstm": layers.LSTM, "gru": layers.GRU}[self.cell]
        layer = cell(width, return_sequences=whole, **self.weights())
        return layers.Bidirectional(layer) if self.bidirectional else layer


def _attended(x: keras.KerasTensor, there: keras.KerasTensor | None) -> keras.KerasTensor:
    """Return the mean of the steps weighted by learned scores; padding has no weight."""
    from keras import layers, ops

    score = layers.Dense(1, dtype="float32")(layers.Dense(x.shape[-1], activation="tanh")(x))
    if there is not None:
        score = ops.where(there[:, :, None], score, -1e9)
    return ops.sum(ops.softmax(score, axis=1) * x, axis=1)
