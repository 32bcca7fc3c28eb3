"""References as Keras layers with the weights that scikit-learn has fitted; they export to ONNX like any other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.models._histograms import histograms
from tiltyard.modeling.models._tfidf import tfidf_sum
from tiltyard.modeling.references.base import Reference
from tiltyard.modeling.references.boosted_trees import BoostedTrees
from tiltyard.modeling.references.image_histograms import ImageHistograms
from tiltyard.modeling.references.linear import Linear
from tiltyard.modeling.references.mixed_linear import MixedLinear
from tiltyard.modeling.references.mixed_trees import MixedTrees
from tiltyard.modeling.references.text_ngrams import TextNgrams
from tiltyard.training.mixed_graphs import linear_scores, tree_features

if TYPE_CHECKING:
    import keras


@contextmanager
def full_precision() -> Iterator[None]:
    """Build layers that compute in 32 bits also where a network is trained in mixed precision."""
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def scores_model(reference: Reference, shape: tuple[int, ...]) -> keras.Model:
    """Return a model with the scores of a fitted reference; `shape` is that of an encoded row."""
    import keras

    inputs = keras.Input(shape, name="features")
    features = reference.subject.encoder.widened(inputs, keras.ops)
    if isinstance(reference, MixedLinear):
        scores = linear_scores(reference, features)
    elif isinstance(reference, BoostedTrees):
        scores = _trees(reference, features)
    elif isinstance(reference, TextNgrams):
        scores = _tfidf(reference, features)
    elif isinstance(reference, ImageHistograms):
        pixels = _standardised(reference, features)
        scores = _dense(histograms(pixels, keras.ops, places=reference.places), reference.weights, reference.bias)
    elif isinstance(reference, Linear) and reference.subject.modality == "series":
        scores = _dense(reference.derived(features, keras.ops), reference.weights, reference.bias)
        scores = scores if reference.subject.followed is None else scores + _last(reference, features)
    elif isinstance(reference, Linear):
        flat = keras.layers.Flatten()(_standardised(reference, features))
        scores = _dense(flat, reference.weights, reference.bias)
    else:
        raise TypeError(f"expected a reference that can be built from layers; received {type(reference).__name__}")
    return keras.Model(inputs, scores)


def _standardised(reference: Reference, features: keras.KerasTensor) -> keras.KerasTensor:
    import keras

    mean, std = (np.array(part, dtype=np.float32) for part in reference.subject.encoder.widened_scaling())
    return keras.layers.Rescaling((1 / std).tolist(), (-mean / std).tolist(), dtype="float32")(features)


def _dense(x: keras.KerasTensor, weights: Array, bias: Array) -> keras.KerasTensor:
    import keras

    layer = keras.layers.Dense(len(bias), dtype="float32", name="scores")
    scores = layer(x)
    layer.set_weights([weights, bias])
    return scores


def _tfidf(reference: TextNgrams, ids: keras.KerasTensor) -> keras.KerasTensor:
    """Sum the weights of the ids of a text; the n-grams must be those that the encoder knows."""
    if reference.refitted is not None:
        raise ValueError("it reads n-grams: set by: ngrams for the column")
    total, layers = tfidf_sum(ids, reference.idf, len(reference.bias))
    layers.set_weights([reference.weights])
    return _dense(total, np.eye(len(reference.bias)), reference.bias)


def _trees(reference: BoostedTrees, features: keras.KerasTensor) -> keras.KerasTensor:
    """Make all decisions of all trees at once, find the leaf of each tree, and add its scores."""
    import keras

    forest = reference.forest()
    trees, nodes = forest.feature.shape
    if isinstance(reference, MixedTrees):
        flat = tree_features(reference, features)
    else:
        flat = reference.derived(features, keras.ops)
    taken = keras.ops.take(flat, forest.feature.ravel().tolist(), axis=1)
    decisions = keras.ops.cast(keras.ops.less_equal(taken, forest.threshold.ravel()[None]), "float32")
    leaf = keras.layers.EinsumDense(
        "bti,til->btl", (trees, forest.expected.shape[1]), "relu", bias_axes="tl", dtype="float32", name="leaves"
    )
    reached = leaf(keras.layers.Reshape((trees, nodes))(decisions))
    leaf.set_weights([forest.paths, 1.0 - forest.expected])
    weights = forest.scores.reshape(-1, forest.scores.shape[2])
    scores = _dense(keras.layers.Flatten()(reached), weights, forest.start)
    return scores if reference.subject.followed is None else scores + _last(reference, features)


def _last(reference: Reference, features: keras.KerasTensor) -> keras.KerasTensor:
    import keras

    place, target = reference.subject.followed or 0, reference.subject.encoder.target
    scale, offset = 1 / target["std"], -target["mean"] / target["std"]
    return keras.layers.Rescaling(scale, offset, dtype="float32")(features[:, -1, place : place + 1])
