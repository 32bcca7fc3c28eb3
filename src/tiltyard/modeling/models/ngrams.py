"""N-grams: TF-IDF of words, pairs of words and characters, then a linear output layer; for short or few texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from tiltyard.modeling.models._layers import Share
from tiltyard.modeling.models._tfidf import tfidf_sum
from tiltyard.modeling.models.base import Model

if TYPE_CHECKING:
    import keras


class Ngrams(Model):
    """A weight for each n-gram and output, zero at first; the column must be read `by: ngrams`."""

    modalities: ClassVar = ("text",)
    reads_ngrams: ClassVar = True

    family: Literal["ngrams"]
    dropout: Share = Field(0.0, description="Share of the n-grams of a text that a training step leaves out.")

    _idf: list[tuple[float, float]] = PrivateAttr(default_factory=list)

    def weigh_tokens(self, weights: list[tuple[float, float]]) -> None:
        """Receive the inverse document frequency of each n-gram."""
        self._idf = weights

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Return the ids, some of them left out in training."""
        from keras import layers, ops

        self._idf = self._idf or [(0.0, 0.0), *[(1.0, 0.0)] * (vocabulary_size - 1)]
        if not self.dropout:
            return features
        mask = ops.stop_gradient(layers.Dropout(self.dropout)(ops.ones_like(features)))
        return ops.where(mask > 0, features, 0.0)

    def head(self, x: keras.KerasTensor, units: int, activation: str) -> keras.KerasTensor:
        """Sum the weights of the n-grams; the output layer adds the bias, and begins as the identity."""
        from keras import layers

        total, _ = tfidf_sum(x, np.array(self._idf), units)
        output = layers.Dense(
            units, activation=activation, kernel_initializer="identity", dtype="float32", name="output"
        )
        return output(total)
