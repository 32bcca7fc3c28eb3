"""References of rows with several kinds of columns as Keras layers: sums over words, histograms, pixels and columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.models._histograms import histograms
from tiltyard.modeling.models._tfidf import tfidf_sum
from tiltyard.modeling.references._packed import Packed
from tiltyard.modeling.references.mixed_linear import MixedLinear
from tiltyard.modeling.references.mixed_trees import MixedTrees

if TYPE_CHECKING:
    import keras


def linear_scores(reference: MixedLinear, features: keras.KerasTensor) -> keras.KerasTensor:
    """Return the scores of a fitted linear model of all parts."""
    import keras

    packed = reference.packed
    images = [_picture(packed, features, name) for name in packed.images]
    others = [_standardised(packed, features)] if packed.others else []
    dense = _joined([*others, *images])
    parts = [] if dense is None else [_sum(dense, reference.weights, np.zeros(len(reference.bias)))]
    parts += [_words(packed, features, name, weights) for name, weights in reference.words.items()]
    total = parts[0] if len(parts) == 1 else keras.layers.Add(dtype="float32")(parts)
    return _sum(total, np.eye(len(reference.bias)), reference.bias)


def tree_features(reference: MixedTrees, features: keras.KerasTensor) -> keras.KerasTensor:
    """Return what the trees read: other features, and the scores of each text and image."""
    import keras

    packed, parts = reference.packed, list["keras.KerasTensor"]()
    if packed.others:
        parts.append(keras.ops.take(features, packed.others, axis=1))
    for name, (weights, bias) in reference.scorers.items():
        if name in packed.texts:
            parts.append(_words(packed, features, name, weights) + bias.astype(np.float32))
        else:
            parts.append(_sum(_picture(packed, features, name), weights, bias))
    return _joined(parts)


def _joined(parts: list[keras.KerasTensor]) -> keras.KerasTensor | None:
    import keras

    return keras.layers.Concatenate(dtype="float32")(parts) if len(parts) > 1 else next(iter(parts), None)


def _standardised(packed: Packed, features: keras.KerasTensor) -> keras.KerasTensor:
    import keras

    others = keras.ops.take(features, packed.others, axis=1)
    scale, offset = (1 / packed.std).tolist(), (-packed.mean / packed.std).tolist()
    return keras.layers.Rescaling(scale, offset, dtype="float32")(others)


def _picture(packed: Packed, features: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Return histograms of an image column, and its pixels if they are few."""
    import keras

    (_, (std,)) = packed.images[name].subject.encoder.scaling()
    flat = keras.layers.Rescaling(1 / std, dtype="float32")(features[:, packed.spans[name]])
    counts = histograms(keras.layers.Reshape(packed.shapes[name])(flat), keras.ops, places=True)
    return keras.layers.Concatenate(dtype="float32")([counts, flat]) if packed.is_small(name) else counts


def _words(packed: Packed, features: keras.KerasTensor, name: str, weights: Array) -> keras.KerasTensor:
    """Sum the weights of the n-grams of a text column, which must be those that the encoder knows."""
    text = packed.texts[name]
    if text.refitted is not None:
        raise ValueError("it reads n-grams: set by: ngrams for the column")
    place = [*packed.texts].index(name)
    total, layer = tfidf_sum(features[:, packed.spans[name]], text.idf, weights.shape[1], suffix=f"_{place}")
    layer.set_weights([weights])
    return total


def _sum(x: keras.KerasTensor, weights: Array, bias: Array) -> keras.KerasTensor:
    import keras

    layer = keras.layers.Dense(len(bias), dtype="float32")
    scores = layer(x)
    layer.set_weights([weights, bias])
    return scores
