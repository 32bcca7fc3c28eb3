"""How alike two layers are, whatever their units: singular vectors, then canonical correlation (SVCCA)."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array

KEPT = 0.99  # of the variance: what is left is mostly noise, and noise of many units correlates


def svcca(one: Array, other: Array) -> float:
    """Return the mean correlation of what both span, (rows, units) each; 1 if a linear map leads from one to the other.

    The mean is over as many directions as the smaller of them has.
    """
    first, second = _directions(one), _directions(other)
    if not (first.shape[1] and second.shape[1]):
        return 0.0
    found = np.linalg.svd(first.T @ second, compute_uv=False)
    return float(np.clip(found, 0, 1).mean())


def chance(one: Array, other: Array, generator: np.random.Generator) -> float:
    """Return what it would be if rows of one had nothing to do with those of the other: more than 0 for few rows."""
    return svcca(one, other[generator.permutation(len(other))])


def pooled(activations: Array) -> Array:
    """Return a number a unit and row: the mean over places or steps.

    Layers have maps of different sizes, so that places cannot be rows of both.
    """
    axes = tuple(range(1, activations.ndim - 1))
    return np.asarray(activations.mean(axis=axes) if axes else activations, dtype=np.float64)


def _directions(activations: Array) -> Array:
    """Return an orthonormal basis of the directions in which most of the variance lies."""
    centred = activations - activations.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    shares = np.square(sizes)
    if shares.sum() <= len(centred) * np.finfo(np.float32).eps:
        return left[:, :0]
    number = int(np.searchsorted(np.cumsum(shares) / shares.sum(), KEPT)) + 1
    return np.asarray(left[:, :number])
