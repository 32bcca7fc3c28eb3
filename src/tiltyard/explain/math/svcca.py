"""SVCCA: similarity of two layers' activations by singular vectors and canonical correlation."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array

KEPT_VARIANCE = 0.99  # of the variance: what is left is mostly noise, and noise of many units correlates


def svcca(activations: Array, other: Array) -> float:
    """Return the mean canonical correlation of two layers' activations, (rows, units) each; 1 if linearly related.

    The mean is over as many directions as the smaller one has.
    """
    first, second = _directions(activations), _directions(other)
    if not (first.shape[1] and second.shape[1]):
        return 0.0
    correlations = np.linalg.svd(first.T @ second, compute_uv=False)
    return float(np.clip(correlations, 0, 1).mean())


def chance_level(activations: Array, other: Array, generator: np.random.Generator) -> float:
    """Return the value for shuffled rows, as a chance level: above 0 when rows are few."""
    return svcca(activations, other[generator.permutation(len(other))])


def mean_pool(activations: Array) -> Array:
    """Return one value for each row and unit: the mean over positions or steps.

    Layers have maps of different sizes, so positions cannot serve as rows of both.
    """
    axes = tuple(range(1, activations.ndim - 1))
    return np.asarray(activations.mean(axis=axes) if axes else activations, dtype=np.float64)


def _directions(activations: Array) -> Array:
    """Return an orthonormal basis of the directions that hold most of the variance."""
    centred = activations - activations.mean(axis=0)
    vectors, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    shares = np.square(sizes)
    if shares.sum() <= len(centred) * np.finfo(np.float32).eps:
        return vectors[:, :0]
    number = int(np.searchsorted(np.cumsum(shares) / shares.sum(), KEPT_VARIANCE)) + 1
    return np.asarray(vectors[:, :number])
