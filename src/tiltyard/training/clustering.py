"""Training of clusterings: k-means on features, or on the codes of an autoencoder that are then refined."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.models.deep_clustering import DeepClustering
from tiltyard.modeling.models.kmeans import Kmeans
from tiltyard.modeling.problems._k_means import KMeans
from tiltyard.modeling.problems.base import Target
from tiltyard.modeling.problems.clustering import CLUSTERS
from tiltyard.modeling.problems.reconstruction import Reconstruction, restored
from tiltyard.preparation.array_file import Features
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training import cluster_refinement, network
from tiltyard.training.fit import RunPaths, fit
from tiltyard.training.reconstruction import STANDARD
from tiltyard.training.reference import Trained

DIGITS = 6  # significant ones of a mean row
MEMBERSHIP_FLOOR, SQUARE_FLOOR = 1e-2, 1e-2  # below which differences of ONNX and Keras are relative to these
FIT_ROWS = 1 << 18  # rows that k-means is fitted to at most


def fit_clusters(task: Task, parts: TrainingRows, paths: RunPaths) -> Trained:
    """Return a model from rows to memberships and distances, and the record of its training."""
    if isinstance(task.model, Kmeans):
        return _fit_k_means(task, task.model, parts)
    assert isinstance(task.model, DeepClustering)  # noqa: S101 - for the type checker: a task is refused otherwise
    return _fit_deep(task, task.model, parts, paths)


def _fit_k_means(task: Task, model: Kmeans, parts: TrainingRows) -> Trained:
    keras.utils.set_random_seed(task.train.seed)
    features = network.standardised_input(parts.encoder, parts.train[0].shape[1:])
    rows = keras.Model(features[0], layers.Flatten(dtype="float32")(features[1]))
    train, validation = (network.outputs(rows, part) for part in (_some(parts.train[0]), parts.validation[0]))
    found = KMeans.fit(train, model.clusters, task.train.seed, model.starts)
    record = {
        "epochs": len(found.inertias),
        "best_epoch": len(found.inertias),
        "stopped_early": True,
        "seed": task.train.seed,
        "history": {"loss": found.inertias},
        "inertia": {"train": found.inertias[-1], "validation": found.inertia(validation)},
        "solved": f"by k-means (Lloyd's algorithm), the best of {model.starts} starts",
    }
    body = _model(rows, found.centres, max(found.inertias[-1], float(np.finfo(np.float32).tiny)), parts)
    return Trained(body, {**record, "parameters": body.count_params()})


def _fit_deep(task: Task, model: DeepClustering, parts: TrainingRows, paths: RunPaths) -> Trained:
    """Fit the autoencoder, then k-means on its codes, then refine both."""
    inner = replace(parts, encoder=replace(parts.encoder, problem=Reconstruction())).with_rows_as_truth()
    fitted = fit(_autoencoder_task(task, model), inner, paths)
    codes = cluster_refinement.code_model(fitted.body)
    found = KMeans.fit(network.outputs(codes, _some(parts.train[0])), model.clusters, task.train.seed, model.starts)
    centres, refinement = cluster_refinement.refine(task, model, parts, paths, (fitted.body, found.centres))
    body = _model(codes, centres, 1.0, parts)
    return Trained(body, {**fitted.record, **refinement, "parameters": body.count_params()})


def _autoencoder_task(task: Task, model: DeepClustering) -> Task:
    """Return the task of the reconstruction, whose code is clustered."""
    output = model.output or ("sigmoid" if task.modality == "image" else "linear")
    family = model.autoencoder.model_copy(update={"output": output})
    return task.model_copy(update={"problem": "reconstruction", "model": family, "target": Target(column="")})


def _some(features: Features) -> Array:
    """Return at most so many rows, evenly spaced."""
    places = np.unique(np.linspace(0, len(features) - 1, min(FIT_ROWS, len(features))).astype(np.int64))
    return features[places] if isinstance(features, np.ndarray) else features.take(places)


def _model(codes: keras.Model, centres: Array, scale: float, parts: TrainingRows) -> keras.Model:
    """Return the model with both outputs: memberships by codes, and differences from mean rows of training rows."""
    members = _memberships(codes.output, centres, scale)
    standard = layers.Flatten(dtype="float32")(codes.get_layer(STANDARD).output)
    means = _mean_rows(keras.Model(codes.input, [members, standard]), parts.train[0])
    squares = squared_distances(standard, means, 1 / means.shape[1])
    return keras.Model(codes.input, ops.concatenate([members, squares], axis=-1))


def _memberships(codes: Any, centres: Array, scale: float) -> Any:
    """Return memberships by Student's t distribution, as in DEC: the nearer a centre, the larger."""
    kernel = 1.0 / (1.0 + squared_distances(codes, centres, 1 / scale))
    return kernel / ops.sum(kernel, axis=-1, keepdims=True)


def squared_distances(x: Any, centres: Array, factor: float) -> Any:
    """Return squared distances to centres times a factor: |x|² - 2xc + |c|², in plain layers that export.

    Both are taken from the middle of the centres: far from zero, little would be left of the difference but rounding.
    """
    middle = centres.mean(axis=0, dtype=np.float64).astype(np.float32)
    near = centres - middle
    x = layers.Rescaling(1.0, offset=(-middle).tolist(), dtype="float32")(x)
    dense = layers.Dense(len(centres), dtype="float32", trainable=False)
    products = dense(x)
    dense.set_weights([-2 * factor * near.T, factor * np.square(near).sum(axis=1)])
    # the sum comes first: Keras takes a second column for a bias if there are as many rows as centres
    return ops.maximum(factor * ops.sum(ops.square(x), axis=-1, keepdims=True) + products, 0.0)


def _mean_rows(model: keras.Model, features: Features) -> Array:
    """Return the mean standardised training row of each cluster; of one without rows, weighted by memberships."""
    sums: Array = np.zeros(0)
    weighted: Array = np.zeros(0)
    for start in range(0, len(features), network.MAX_BATCH_ROWS):
        batch = features[start : start + network.MAX_BATCH_ROWS].astype(np.float32, copy=False)
        members, rows = (np.asarray(part, dtype=np.float64) for part in model(batch, training=False))
        flags, ones = np.eye(members.shape[1])[members.argmax(axis=1)], np.ones((len(rows), 1))
        both = np.concatenate([rows, ones], axis=1)
        sums, weighted = (flags.T @ both + (sums if start else 0)), (members.T @ both + (weighted if start else 0))
    chosen = np.where(sums[:, -1:] > 0, sums, weighted)
    return np.asarray(chosen[:, :-1] / chosen[:, -1:], dtype=np.float32)


def with_clusters(encoder: Encoder, model: keras.Model, features: Features) -> Encoder:
    """Return the encoder that knows each cluster: how many training rows it has, and their mean, as a client's row."""
    count = model.output_shape[-1] // 2
    sizes: Array = np.zeros(count, dtype=np.int64)
    for outputs in network.predict_batches(model, features):
        sizes = sizes + np.bincount(outputs[:, :count].argmax(axis=1), minlength=count)
    means = _means_in(model, count)
    rows = replace(encoder, target={}).joined(restored(encoder, means.astype(np.float64)))
    known = [{"rows": int(size), "mean": _short(row)} for size, row in zip(sizes, rows, strict=True)]
    return encoder.with_target({CLUSTERS: known})


def _means_in(model: keras.Model, count: int) -> Array:
    """Read the mean rows from the weights of the last distances, which are taken from the middle of them."""
    kernels = [layer.get_weights()[0] for layer in model.layers if isinstance(layer, layers.Dense)]
    kernel = next(weights for weights in reversed(kernels) if weights.shape[1] == count)
    *_, middle = (layer for layer in model.layers if isinstance(layer, layers.Rescaling))
    return np.asarray(kernel.T * (-kernel.shape[0] / 2) - np.asarray(middle.offset))


def _short(value: Any) -> Any:
    """Return a mean row with few digits."""
    if isinstance(value, dict):
        return {name: _short(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_short(part) for part in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def floors(clusters: int) -> Array:
    """Return for each output the size below which a difference of ONNX and Keras is relative to it."""
    return np.repeat([MEMBERSHIP_FLOOR, SQUARE_FLOOR], clusters)
