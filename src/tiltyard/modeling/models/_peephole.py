"""LSTM cell with peepholes: its gates also read the state of the cell (Gers and Schmidhuber, 2000)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tiltyard")
class PeepholeCell(keras.layers.LSTMCell):  # type: ignore[misc]
    """Input and forget gate read the state before the step, the output gate the one after it, each unit its own."""

    def build(self, input_shape: Any) -> None:
        """Add a weight for each unit and gate to those of an LSTM."""
        super().build(input_shape)
        self.peepholes = self.add_weight(shape=(3, self.units), name="peepholes", initializer="glorot_uniform")

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        """Compute a step: the output, and the new states."""
        output, state = states
        sums = ops.matmul(inputs, self.kernel) + ops.matmul(output, self.recurrent_kernel) + self.bias
        admit, keep, candidate, release = ops.split(sums, 4, axis=1)
        admit = self.recurrent_activation(admit + self.peepholes[0] * state)
        keep = self.recurrent_activation(keep + self.peepholes[1] * state)
        state = keep * state + admit * self.activation(candidate)
        release = self.recurrent_activation(release + self.peepholes[2] * state)
        output = release * self.activation(state)
        return output, [output, state]
