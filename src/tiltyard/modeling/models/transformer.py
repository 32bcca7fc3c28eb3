"""Transformer: self-attention blocks over the tokens of a text, causal or bidirectional."""

from __future__ import annotations

from operator import not_
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from tiltyard.modeling.models._layers import DenseLayers, Share

if TYPE_CHECKING:
    import keras

LONGEST_WAVE = 10_000.0  # steps: the period of the slowest sinusoid


class Transformer(DenseLayers):
    """Blocks of attention and two dense layers with residual connections; pre-norm, which needs no warm-up."""

    modalities: ClassVar = ("text", "prose")

    family: Literal["transformer"]
    embedding: int = Field(32, ge=2, description="Length of token vectors, in all blocks.")
    positions: Literal["learned", "sinusoidal", "none"] = Field(
        "learned", description="How the position of a token is encoded."
    )
    blocks: int = Field(1, ge=1, description="Number of attention blocks.")
    heads: int = Field(2, ge=1, description="Number of attention heads.")
    hidden: int = Field(64, ge=1, description="Width of the hidden dense layer in each block.")
    causal: bool = Field(default=False, description="Mask later steps.")
    pool: Literal["mean", "last", "none"] = Field("mean", description="How steps are combined; none keeps all of them.")
    units: list[int] = Field([], description="Width of each dense layer after the blocks.")
    tied: bool = Field(
        default=False,
        exclude_if=not_,
        description="Use the token vectors as the weights of the output layer, too, where outputs are tokens.",
    )
    dropout: Share | list[Share] = Field(
        0.0, description="Dropout rate in each block and after each dense layer, or a list."
    )

    _vectors: Any = PrivateAttr(None)  # the layer of token vectors, once it is built

    @model_validator(mode="after")
    def _check_sizes(self) -> Transformer:
        if self.embedding % self.heads or self.embedding % 2:
            raise ValueError(f"embedding: expected an even multiple of heads, {self.heads}; received {self.embedding}")
        return self

    @property
    def steps(self) -> bool:
        """Whether it returns all steps and is causal."""
        return self.causal and self.pool == "none"

    @property
    def keeps_steps(self) -> bool:
        """Whether it returns all steps and each depends on all words."""
        return not self.causal and self.pool == "none"

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build the layers; padding (id 0) is masked in attention and pooling."""
        from keras import layers, ops

        mask = ops.not_equal(features, 0.0)
        self._vectors = (layers.ReversibleEmbedding if self.tied else layers.Embedding)(vocabulary_size, self.embedding)
        x = self._vectors(features)
        x = self._add_positions(x, features)
        for index in range(self.blocks):
            x = self._block(x, mask, index)
        x = self._pool_steps(layers.LayerNormalization()(x), mask)
        return self.add_dense_layers(x, self.units, first=self.blocks)

    def head(self, x: keras.KerasTensor, units: int, activation: str) -> keras.KerasTensor:
        """Add the output layer, or multiply by the token vectors."""
        from keras import layers

        if not self.tied:
            return super().head(x, units, activation)
        if units != self._vectors.input_dim or x.shape[-1] != self.embedding:
            raise ValueError(f"tied: expected tokens as outputs, and no units; received {units} outputs")
        return layers.Activation(activation, dtype="float32", name="output")(self._vectors(x, reverse=True))

    def _add_positions(self, x: keras.KerasTensor, features: keras.KerasTensor) -> keras.KerasTensor:
        """Add the positional encoding."""
        from keras import layers, ops

        if self.positions == "none":
            return x
        steps = ops.cumsum(ops.ones_like(features), axis=1) - 1.0
        if self.positions == "learned":
            return x + layers.Embedding(features.shape[1], self.embedding)(steps)
        frequencies = LONGEST_WAVE ** -np.linspace(0, 1, self.embedding // 2, endpoint=False, dtype=np.float32)
        angles = steps[:, :, None] * frequencies
        return x + ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)

    def _block(self, x: keras.KerasTensor, mask: keras.KerasTensor, index: int) -> keras.KerasTensor:
        from keras import layers

        count, key_size = self.blocks + len(self.units), self.embedding // self.heads
        attention = layers.MultiHeadAttention(self.heads, key_size, **self.weights())
        y = layers.LayerNormalization()(x)
        y = attention(y, y, attention_mask=mask[:, None, :], use_causal_mask=self.causal)
        x = x + self.apply_dropout(y, index, count)
        y = layers.Dense(self.hidden, **self.weights())(layers.LayerNormalization()(x))
        y = layers.Dense(self.embedding, **self.weights())(self.apply_activation(y))
        return x + self.apply_dropout(y, index, count)

    def _pool_steps(self, x: keras.KerasTensor, mask: keras.KerasTensor) -> keras.KerasTensor:
        """Return the mean of the steps that are not padding, the last of them, or all steps."""
        from keras import layers, ops

        if self.pool == "mean":
            return layers.GlobalAveragePooling1D()(x, mask=mask)
        if self.pool == "none":
            return x
        present = ops.cast(mask, x.dtype)
        next_present = ops.concatenate([present[:, 1:], ops.zeros_like(present[:, :1])], axis=1)
        return ops.sum(x * (present - next_present)[:, :, None], axis=1)  # 1 where the next step is padding
