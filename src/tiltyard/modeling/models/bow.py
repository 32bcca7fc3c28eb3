"""Bag of words: the mean or weighted sum of word embeddings, then dense layers; word order is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from tiltyard.arrays import Array
from tiltyard.modeling.models._layers import DenseLayers, Share
from tiltyard.modeling.models._tfidf import counted, document_frequencies, inverse_document_frequencies, tfidf

if TYPE_CHECKING:
    import keras

MAX_WEIGHTED = 512  # words of a text, each of which is compared with each other


class Bow(DenseLayers):
    """An embedding, averaged or summed over the words of a text."""

    modalities: ClassVar = ("text",)
    adapts: ClassVar = True

    family: Literal["bow"]
    embedding: int = Field(32, ge=1, description="Length of a word vector.")
    weighting: Literal["mean", "counts", "tfidf"] = Field(
        "mean",
        exclude_if="mean".__eq__,
        description="How word vectors are combined: their mean; their sum, as a product with the document-term matrix; "
        "or their sum weighted by TF-IDF, with lengths of 1. Sums leave out unknown words.",
    )
    units: list[int] = Field([32], description="Width of each dense layer after the mean or sum.")
    dropout: Share | list[Share] = Field(0.0, description="Dropout rate after the mean and after each dense layer.")

    _rows: Array | None = PrivateAttr(None)  # ids of training rows

    def adapt(self, rows: Array) -> None:
        """Keep the training rows, of which inverse document frequencies are computed once the vocabulary is known."""
        self._rows = rows if self.weighting == "tfidf" else None

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build the layers; padding (id 0) is not averaged, and the encoder ensures that no text is all padding."""
        from keras import layers

        vectors = layers.Embedding(vocabulary_size, self.embedding, mask_zero=self.weighting == "mean")(features)
        if self.weighting == "mean":
            x = layers.GlobalAveragePooling1D()(vectors)
        else:
            x = self._weighted_sum(vectors, features, vocabulary_size)
        x = self.apply_dropout(x, 0, 1 + len(self.units))
        return self.add_dense_layers(x, self.units, first=1)

    def _weighted_sum(self, vectors: keras.KerasTensor, ids: keras.KerasTensor, words: int) -> keras.KerasTensor:
        from keras import ops

        if ids.shape[1] > MAX_WEIGHTED:
            raise ValueError(f"weighting: expected at most {MAX_WEIGHTED} words of a text; received {ids.shape[1]}")
        weights = counted(ids) if self.weighting == "counts" else tfidf(ids, self._idf(words))
        return ops.sum(vectors * weights[:, :, None], axis=1)

    def _idf(self, words: int) -> Array:
        """Return the inverse document frequency of each id; of no rows, all words are equally rare."""
        rows = self._rows
        frequencies = document_frequencies(rows, words) if rows is not None else np.zeros(words)
        return inverse_document_frequencies(frequencies, 0 if rows is None else len(rows))
