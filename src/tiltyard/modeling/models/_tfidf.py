"""The TF-IDF sum of a text: the weights of its n-grams, times their inverse document frequency, at length 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tiltyard.arrays import Array

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
