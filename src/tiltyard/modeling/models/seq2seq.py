"""Sequence-to-sequence model: recurrent encoder and decoder, with optional attention.

In training, the decoder reads the true token before each step (teacher forcing). The exported model decodes greedily:
one graph with all steps, each of which reads the most probable token of the step before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.columns._vocabulary import START
from tiltyard.modeling.models._layers import Share, WeightSettings

if TYPE_CHECKING:
    import keras


class Seq2Seq(WeightSettings):
    """Encoder (reader) and decoder (writer); with attention, each decoder step weighs all encoder steps."""

    modalities: ClassVar = ("text",)
    translates: ClassVar = True

    family: Literal["seq2seq"]
    cell: Literal["lstm", "gru"] = Field("lstm", description="The recurrent cell.")
    units: int = Field(64, ge=1, description="Width of encoder and decoder.")
    embedding: int = Field(32, ge=1, description="Length of token vectors, on both sides.")
    bidirectional: bool = Field(default=False, description="Read in both directions; the decoder is twice as wide.")
    attention: bool = Field(default=False, description="Let the decoder attend to all encoder steps.")
    dropout: Share = Field(0.0, description="Dropout rate after the encoder and after the decoder.")

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Raise ValueError: the family is for translation only."""
        raise ValueError("seq2seq predicts texts: expected problem: translation")

    def translate(
        self, source: keras.KerasTensor, previous: keras.KerasTensor, sizes: tuple[int, int]
    ) -> keras.KerasTensor:
        """Build encoder and decoder for training; id 0 is padding, `sizes` are the numbers of ids of both sides."""
        from keras import layers

        coder = _EncoderDecoder(self, self._build_layers(sizes))
        encoded, states, mask = coder.encode(source)
        decoded = coder.layers["writer"](coder.layers["target"](previous), initial_state=states)
        decoded = layers.Dropout(self.dropout)(decoded) if self.dropout else decoded
        return coder.attend(decoded, encoded, mask)

    def unroll(self, body: keras.Model, steps: int) -> keras.Model:
        """Build the inference model, which decodes greedily, from the layers of the trained one."""
        import keras

        names = ["source", "reader", "target", "writer", *(["attention"] if self.attention else []), "output"]
        coder = _EncoderDecoder(self, {name: body.get_layer(name) for name in names})
        source = keras.Input((body.input_shape[1] - steps,), name="features")
        encoded, states, mask = coder.encode(source)
        previous, outputs = keras.ops.zeros_like(source[:, 0]) + float(START), []
        for _ in range(steps):
            step, states = coder.step(previous, states)
            step = coder.layers["output"](coder.attend(step[:, None], encoded, mask))
            outputs.append(step)
            _, most_probable = keras.ops.top_k(step[:, 0], 1)  # argmax cannot be exported to ONNX
            previous = keras.ops.cast(most_probable[:, 0], "float32")
        return keras.Model(source, keras.ops.concatenate(outputs, axis=1))

    def _build_layers(self, sizes: tuple[int, int]) -> dict[str, Any]:
        from keras import layers

        cell = {"lstm": layers.LSTM, "gru": layers.GRU}[self.cell]
        options = {"return_sequences": True, "return_state": True, **self.weights()}
        encoder, width = cell(self.units, name="reader", **options), self.units
        if self.bidirectional:
            encoder, width = layers.Bidirectional(cell(self.units, **options), name="reader"), 2 * self.units
        built = {
            "source": layers.Embedding(sizes[0], self.embedding, mask_zero=True, name="source"),
            "reader": encoder,
            "target": layers.Embedding(sizes[1], self.embedding, name="target"),
            "writer": cell(width, return_sequences=True, name="writer", **self.weights()),
        }
        return built | ({"attention": layers.Dense(width, "tanh", name="attention")} if self.attention else {})


class _EncoderDecoder:
    """The layers of encoder and decoder, and the steps that training and inference share."""

    def __init__(self, settings: Seq2Seq, layers: dict[str, Any]) -> None:
        self.settings = settings
        self.layers = layers

    def encode(self, source: keras.KerasTensor) -> tuple[Any, list[Any], Any]:
        """Return the encoder's output at each step, its final state, and the mask of steps that are not padding."""
        from keras import layers, ops

        encoded, *states = self.layers["reader"](self.layers["source"](source))
        if self.settings.bidirectional:
            half = len(states) // 2
            states = [ops.concatenate([states[i], states[half + i]], axis=-1) for i in range(half)]
        rate = self.settings.dropout
        return layers.Dropout(rate)(encoded) if rate else encoded, states, ops.not_equal(source, 0.0)

    def step(self, previous: keras.KerasTensor, states: list[Any]) -> tuple[Any, list[Any]]:
        """Decode one step with the decoder's cell; return its output and state."""
        decoded, states = self.layers["writer"].cell(self.layers["target"](previous), states)
        return decoded, [*states] if isinstance(states, list | tuple) else [states]

    def attend(self, decoded: Any, encoded: Any, mask: Any) -> Any:
        """Return decoder steps combined with the encoder's steps weighted by similarity (dot-product attention)."""
        from keras import ops

        if not self.settings.attention:
            return decoded
        similarity = ops.matmul(decoded, ops.transpose(encoded, (0, 2, 1))) / float(encoded.shape[-1]) ** 0.5
        weights = ops.softmax(ops.where(mask[:, None, :], similarity, -1e9), axis=-1)
        return self.layers["attention"](ops.concatenate([decoded, ops.matmul(weights, encoded)], axis=-1))
