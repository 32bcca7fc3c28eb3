"""TF-IDF: how much each word or n-gram of a text weighs, by its counts and its inverse document frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.columns._vocabulary import UNKNOWN

if TYPE_CHECKING:
    import keras

TINY = 1e-6


def tfidf_sum(
    ids: keras.KerasTensor, idf: Array, units: int, initializer: str = "zeros", suffix: str = ""
) -> tuple[keras.KerasTensor, keras.layers.Embedding]:
    """Return the sum, (rows, units), and the layer whose weights are learned.

    `idf` has two columns, for words and characters; each group of a text is a vector of length 1. A suffix tells the
    layers of several texts apart.
    """
    from keras import layers, ops

    fixed = layers.Embedding(len(idf), 2, dtype="float32", trainable=False, name=f"idf{suffix}")
    rarity = fixed(ids)
    fixed.set_weights([np.asarray(idf, dtype=np.float32)])
    rarity = rarity / ops.sqrt(ops.sum(ops.square(rarity), axis=1, keepdims=True) + TINY)
    learned = layers.Embedding(len(idf), units, embeddings_initializer=initializer, name=f"ngrams{suffix}")
    return ops.sum(learned(ids) * ops.sum(rarity, axis=2, keepdims=True), axis=1), learned


def document_frequencies(ids: Array, size: int) -> Array:
    """Return in how many texts each id occurs; `ids` has a row for each text."""
    ordered = np.sort(ids.astype(np.int64), axis=1)
    first = np.ones(ordered.shape, dtype=bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return np.bincount(ordered[first], minlength=size)[:size]


def inverse_document_frequencies(frequencies: Array, texts: int) -> Array:
    """Return 1 + ln((1 + texts) / (1 + frequency)), as if one more text held every word; 0 for unknown words."""
    idf: Array = 1 + np.log((1 + texts) / (1 + frequencies))
    idf[: UNKNOWN + 1] = 0
    return idf.astype(np.float32)


def counted(ids: keras.KerasTensor) -> keras.KerasTensor:
    """Return 1 for each known word of a text: the sum over equal words is a row of the document-term matrix."""
    from keras import ops

    return ops.cast(ops.greater(ids, float(UNKNOWN)), "float32")


def tfidf(ids: keras.KerasTensor, idf: Array) -> keras.KerasTensor:
    """Return the weight of each word of a text: the sum over equal words is a row of the TF-IDF matrix, of length 1."""
    from keras import layers, ops

    fixed = layers.Embedding(len(idf), 1, dtype="float32", trainable=False, name="idf")
    rarity = fixed(ids)
    fixed.set_weights([idf[:, None]])
    same = ops.cast(ops.equal(ids[:, :, None], ids[:, None, :]), "float32")
    squares = ops.sum(rarity * ops.matmul(same, rarity), axis=1, keepdims=True)  # of counts times idf, by word
    return (rarity / ops.sqrt(squares + TINY))[:, :, 0]
