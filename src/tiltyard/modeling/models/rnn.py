"""Recurrent network (LSTM, GRU, simple RNN) over series, texts or the rows of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._layers import DenseLayers

if TYPE_CHECKING:
    import keras


class Rnn(DenseLayers):
    """Stacked recurrent layers, then dense layers; by default, cells have the activations that cuDNN needs."""

    modalities: ClassVar = ("series", "text", "prose", "image")

    family: Literal["rnn"]
    cell: Literal["simple", "lstm", "gru", "peephole"] = Field(
        "lstm", description="peephole: an LSTM whose gates also read the state; slow on GPUs, since cuDNN has none."
    )
    cell_activation: Literal["tanh", "relu"] = Field(
        "tanh",
        exclude_if="tanh".__eq__,
        description="Activation of the cells; gates stay sigmoid. relu is slow on GPUs, since cuDNN has only tanh.",
    )
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
        """Whether it returns all steps and is causal: no step depends on later ones."""
        return self.whole and not (self.bidirectional or self.attention)

    @property
    def keeps_steps(self) -> bool:
        """Whether it returns all steps and each depends on all words."""
        return self.whole and self.bidirectional and not self.attention

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build the layers; all recurrent layers but the last return sequences."""
        x, mask = self._steps(features, vocabulary_size)
        hidden = len(self.units) + len(self.dense)
        for index, width in enumerate(self.units):
            all_steps = self.attention or self.whole or index + 1 < len(self.units)
            x = self.apply_dropout(self._recurrent(width, all_steps=all_steps)(x), index, hidden)
        x = _attention_pooled(x, mask) if self.attention else x
        return self.add_dense_layers(x, self.dense, first=len(self.units))

    def _steps(
        self, features: keras.KerasTensor, vocabulary_size: int
    ) -> tuple[keras.KerasTensor, keras.KerasTensor | None]:
        """Return the input as (rows, steps, features), and the mask of steps that are not padding."""
        from keras import layers, ops

        if vocabulary_size:
            embedding = layers.Embedding(vocabulary_size, self.embedding, mask_zero=True)
            return embedding(features), ops.not_equal(features, 0.0)
        steps, features_per_step = features.shape[1], features.shape[2] * (features.shape[3:] or (1,))[0]
        if steps % self.frame:
            raise ValueError(f"frame: expected a divisor of {steps}, the number of steps; received {self.frame}")
        if self.frame == 1 and len(features.shape) == 3:
            return features, None
        return layers.Reshape((steps // self.frame, self.frame * features_per_step))(features), None

    def _recurrent(self, width: int, *, all_steps: bool) -> Any:
        from keras import layers

        if self.cell == "peephole":
            from tiltyard.modeling.models._peephole import PeepholeCell

            unit = PeepholeCell(width, activation=self.cell_activation, **self.weights())
            return self._directed(layers.RNN(unit, return_sequences=all_steps))
        cell = {"simple": layers.SimpleRNN, "lstm": layers.LSTM, "gru": layers.GRU}[self.cell]
        return self._directed(
            cell(width, return_sequences=all_steps, activation=self.cell_activation, **self.weights())
        )

    def _directed(self, layer: Any) -> Any:
        """Return the layer, which reads in both directions if the task says so."""
        from keras import layers

        return layers.Bidirectional(layer) if self.bidirectional else layer


def _attention_pooled(x: keras.KerasTensor, mask: keras.KerasTensor | None) -> keras.KerasTensor:
    """Return the mean of the steps weighted by learned scores; padding has no weight."""
    from keras import layers, ops

    score = layers.Dense(1, dtype="float32")(layers.Dense(x.shape[-1], activation="tanh")(x))
    if mask is not None:
        score = ops.where(mask[:, :, None], score, -1e9)
    return ops.sum(ops.softmax(score, axis=1) * x, axis=1)
