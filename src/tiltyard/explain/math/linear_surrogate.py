"""Linear surrogate (LIME): weighted ridge regression on the model's outputs near one row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiltyard.arrays import Array

KERNEL_WIDTH = 0.75  # times the root of the number of features: LIME's usual kernel width
RIDGE = 1e-6  # penalty on slopes, so that features that always change together share their effect


@dataclass(frozen=True)
class LinearFit:
    """The slope of each feature, and r2, the share of the model's local variance that the line explains."""

    slopes: Array
    r2: float


def proximity(distances: Array, features: int) -> Array:
    """Return weights that fall with the distance from the row (exponential kernel)."""
    weights: Array = np.exp(-(distances**2) / (KERNEL_WIDTH**2 * features))
    return weights


def fit(changes: Array, outputs: Array, weights: Array) -> LinearFit:
    """Fit outputs to changes (rows, features) by weighted ridge regression."""
    weights = weights / weights.sum()
    centred, residual = changes - weights @ changes, outputs - weights @ outputs
    products = (centred * weights[:, None]).T
    slopes = np.linalg.solve(products @ centred + RIDGE * np.eye(changes.shape[1]), products @ residual)
    total = float(weights @ residual**2)
    unexplained = float(weights @ (residual - centred @ slopes) ** 2)
    return LinearFit(slopes, 1 - unexplained / total if total > 1e-20 else 0.0)
