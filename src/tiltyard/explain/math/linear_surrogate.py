"""A surrogate: the line that comes nearest to a model close to one row; near rows weigh more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiltyard.arrays import Array

WIDTH = 0.75  # of the neighbourhood, times the root of how many things are changed, as is usual for LIME
PENALTY = 1e-6  # on slopes, so that things that always change together share what they do


@dataclass(frozen=True)
class Line:
    """What each thing adds, and how well the line follows the model: 1 is wholly, 0 no better than a constant."""

    slopes: Array
    r2: float


def proximity(distances: Array, things: int) -> Array:
    """Return weights that fall with the distance, of which 1 is an ordinary one for a single thing."""
    found: Array = np.exp(-(distances**2) / (WIDTH**2 * things))
    return found


def fit(changes: Array, answers: Array, weights: Array) -> Line:
    """Fit answers to changes (rows, things) by weighted ridge regression."""
    weights = weights / weights.sum()
    centred, missed = changes - weights @ changes, answers - weights @ answers
    products = (centred * weights[:, None]).T
    slopes = np.linalg.solve(products @ centred + PENALTY * np.eye(changes.shape[1]), products @ missed)
    total = float(weights @ missed**2)
    left = float(weights @ (missed - centred @ slopes) ** 2)
    return Line(slopes, 1 - left / total if total > 1e-20 else 0.0)
