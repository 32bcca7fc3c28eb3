"""Captioner: a convolutional encoder, and a Transformer decoder that attends to each place of its feature map.

In training, the decoder reads the true word before each step (teacher forcing). The exported model decodes greedily,
one graph with all steps: each reads the most probable word of the step before, and keeps keys and values of all
earlier ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from tiltyard.modeling.columns._vocabulary import START
from tiltyard.modeling.models._layers import ConvLayers, Share

if TYPE_CHECKING:
    import keras

ENCODER = "encoder"  # name of the nested model from a standardised picture to the vectors of all places
HIDDEN = -1e9  # similarity of later words


def cross_attention(block: int, step: int) -> str:
    """Return the name of the layer with the weights of each place at a step of the exported model."""
    return f"looks_{block}_at_{step}"


class Captioner(ConvLayers):
    """Blocks of convolutions and pooling, then decoder blocks of self-attention, cross-attention and dense layers."""

    modalities: ClassVar = ("image",)
    translates: ClassVar = True

    family: Literal["captioner"]
    filters: list[int] = Field([32, 64, 96], min_length=1, description="Filters of each block of the encoder.")
    convolutions: int = Field(1, ge=1, le=8, description="Convolutions of each block, before its pooling.")
    kernel: int = Field(3, ge=1)
    width: int = Field(64, ge=2, description="Length of the vectors of words and places.")
    blocks: int = Field(1, ge=1, le=24, description="Blocks of the decoder.")
    heads: int = Field(4, ge=1, description="Number of attention heads.")
    hidden: int = Field(128, ge=1, description="Width of the hidden dense layer in each block of the decoder.")
    dropout: Share = Field(0.0, description="Dropout rate in each block of the decoder.")

    @model_validator(mode="after")
    def _check_width(self) -> Captioner:
        if self.width % self.heads:
            raise ValueError(f"width: expected a multiple of heads, {self.heads}; received {self.width}")
        return self

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Raise ValueError: the family is for captions only."""
        raise ValueError("captioner predicts texts: expected problem: captioning")

    def translate(
        self, source: keras.KerasTensor, previous: keras.KerasTensor, sizes: tuple[int, int]
    ) -> keras.KerasTensor:
        """Build encoder and decoder layers for training; `sizes` has the number of ids of captions."""
        import keras

        places = self._build_encoder(source)(source)
        steps = previous.shape[1]
        decoder = _Decoder(self, self._decoder_layers(sizes[1], steps))
        order = keras.ops.cumsum(keras.ops.ones_like(previous), axis=1) - 1.0
        x = decoder.words(previous, order)
        later = np.triu(np.full((steps, steps), HIDDEN, dtype=np.float32), k=1)
        for block in range(self.blocks):
            own = decoder.keys(x, block, "self")
            x = decoder.block(x, block, (own, decoder.keys(places, block, "cross")), f"looks_{block}", later)
        return decoder.layers["last_norm"](x)

    def unroll(self, body: keras.Model, steps: int) -> keras.Model:
        """Build the inference model, which decodes greedily, from the layers of the trained one."""
        import keras

        encoder = body.get_layer(ENCODER)
        decoder = _Decoder(self, {name: body.get_layer(name) for name in self._layer_names()})
        source = keras.Input(encoder.input_shape[1:], name="features")
        places = encoder(body.get_layer("standard")(source))
        seen = [decoder.keys(places, block, "cross") for block in range(self.blocks)]
        read: list[tuple[Any, ...]] = [() for _ in range(self.blocks)]
        previous, outputs = keras.ops.zeros_like(source[:, :1, 0, 0]) + float(START), []
        for step in range(steps):
            x = decoder.words(previous, keras.ops.zeros_like(previous) + float(step))
            for block in range(self.blocks):
                read[block] = decoder.appended(read[block], decoder.keys(x, block, "self"))
                x = decoder.block(x, block, (read[block], seen[block]), cross_attention(block, step))
            outputs.append(body.get_layer("output")(decoder.layers["last_norm"](x)))
            _, most_probable = keras.ops.top_k(outputs[-1][:, 0], 1)  # argmax cannot be exported to ONNX
            previous = keras.ops.cast(most_probable, "float32")
        return keras.Model(source, keras.ops.concatenate(outputs, axis=1))

    def _build_encoder(self, source: keras.KerasTensor) -> keras.Model:
        """Return a model from a picture to a vector for each place of the last feature map."""
        import keras
        from keras import layers, ops

        picture = x = keras.Input(source.shape[1:])
        for filters in self.filters:
            for _ in range(self.convolutions):
                x = self.convolution(x, filters, self.kernel)
            x = layers.MaxPooling2D(2)(x)
        places = x.shape[1] * x.shape[2]
        x = layers.Dense(self.width, **self.weights())(layers.Reshape((places, x.shape[3]))(x))
        order = ops.cumsum(ops.ones_like(x[:, :, 0]), axis=1) - 1.0
        return keras.Model(picture, x + layers.Embedding(places, self.width)(order), name=ENCODER)

    def _decoder_layers(self, vocabulary_size: int, steps: int) -> dict[str, Any]:
        from keras import layers

        built: dict[str, Any] = {
            "words": layers.Embedding(vocabulary_size, self.width, name="words"),
            "order": layers.Embedding(steps, self.width, name="order"),
        }
        for name in self._layer_names()[2:]:
            if "norm" in name:
                built[name] = layers.LayerNormalization(name=name)
            else:
                size = self.hidden if name.startswith("widen") else self.width
                built[name] = layers.Dense(size, name=name, **self.weights())
        return built

    def _layer_names(self) -> list[str]:
        parts = [f"{kind}_{part}" for kind in ("self", "cross") for part in ("norm", "query", "key", "value", "merge")]
        parts += ["dense_norm", "widen", "narrow"]
        return ["words", "order", *(f"{part}_{block}" for block in range(self.blocks) for part in parts), "last_norm"]


class _Decoder:
    """The layers of the decoder, and the steps that training and inference share."""

    def __init__(self, settings: Captioner, layers: dict[str, Any]) -> None:
        self.settings = settings
        self.layers = layers

    def words(self, ids: Any, order: Any) -> Any:
        """Return the vectors of words at their steps."""
        return self.layers["words"](ids) + self.layers["order"](order)

    def keys(self, x: Any, block: int, kind: Literal["self", "cross"]) -> tuple[Any, Any]:
        """Return keys and values of words or places, by head."""
        x = self.layers[f"self_norm_{block}"](x) if kind == "self" else x
        key, value = (self._by_head(self.layers[f"{kind}_{part}_{block}"](x)) for part in ("key", "value"))
        return key, value

    def appended(self, earlier: tuple[Any, ...], now: tuple[Any, Any]) -> tuple[Any, ...]:
        """Return keys and values of all words so far."""
        from keras import ops

        return tuple(ops.concatenate(pair, axis=2) for pair in zip(earlier, now, strict=True)) if earlier else now

    def block(self, x: Any, block: int, known: tuple[Any, Any], name: str, hidden: Any = None) -> Any:
        """Add what words say of each other, what the places show, and a dense layer."""
        from keras import layers

        rate, settings = self.settings.dropout, self.settings
        for kind, keys in zip(("self", "cross"), known, strict=True):
            query = self.layers[f"{kind}_query_{block}"](self.layers[f"{kind}_norm_{block}"](x))
            weights = layers.Softmax(name=name) if kind == "cross" else layers.Softmax()
            found = self._attend(query, keys, weights, hidden if kind == "self" else None)
            found = self.layers[f"{kind}_merge_{block}"](found)
            x = x + (layers.Dropout(rate)(found) if rate else found)
        y = self.layers[f"widen_{block}"](self.layers[f"dense_norm_{block}"](x))
        y = self.layers[f"narrow_{block}"](settings.apply_activation(y))
        return x + (layers.Dropout(rate)(y) if rate else y)

    def _attend(self, query: Any, keys: tuple[Any, Any], softmax: Any, hidden: Any) -> Any:
        """Return for each query the values weighted by the similarity of their keys (scaled dot product)."""
        from keras import ops

        query, (key, value) = self._by_head(query), keys
        similarity = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) / float(query.shape[-1]) ** 0.5
        similarity = similarity if hidden is None else similarity + hidden
        weights = softmax(similarity) if key.shape[2] > 1 else ops.ones_like(similarity)  # the first word has no choice
        found = ops.matmul(weights, value)
        return ops.reshape(ops.transpose(found, (0, 2, 1, 3)), (-1, found.shape[2], self.settings.width))

    def _by_head(self, x: Any) -> Any:
        """Return (rows, heads, steps, size of a head)."""
        from keras import ops

        heads = self.settings.heads
        return ops.transpose(ops.reshape(x, (-1, x.shape[1], heads, self.settings.width // heads)), (0, 2, 1, 3))
