"""Frechet distance of two samples of features: that of the normal distributions with their means and covariances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiltyard.arrays import Array


@dataclass(frozen=True)
class Gaussian:
    """The mean and the covariance of a sample, with a square root of the covariance."""

    mean: Array
    root: Array
    variance: float  # the trace of the covariance

    @classmethod
    def of(cls, features: Array) -> Gaussian:
        """Estimate both from features (rows, width)."""
        rows = features.astype(np.float64)
        mean = rows.mean(axis=0)
        centred = rows - mean
        return cls.from_moments(mean, centred.T @ centred / max(len(rows) - 1, 1))

    @classmethod
    def from_moments(cls, mean: Array, covariance: Array) -> Gaussian:
        """Take the symmetric square root, by eigenvalues; those that rounding made negative are 0."""
        values, vectors = np.linalg.eigh(covariance)
        root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        return cls(mean, root, float(np.trace(covariance)))

    def distance(self, other: Gaussian) -> float:
        """Return the squared Frechet distance.

        The trace of the root of the product of covariances is the sum of the singular values of the product of their
        roots, which is stable also if covariances are singular: no root of a matrix that is not symmetric is taken.
        """
        shared = np.linalg.svd(self.root @ other.root, compute_uv=False).sum()
        moved = float(np.square(self.mean - other.mean).sum())
        return max(0.0, moved + self.variance + other.variance - 2 * float(shared))


def frechet_distance(first: Array, second: Array) -> float:
    """Return the squared Frechet distance of two samples of features (rows, width); 0 for equal samples."""
    return Gaussian.of(first).distance(Gaussian.of(second))
