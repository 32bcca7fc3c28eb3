"""Codes of generative models: drawn from the prior by seed and place, so that a sample does not depend on others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.problems.sampling import Prior

DRAW: dict[Prior, Callable[[np.random.Generator, int], Array]] = {
    "normal": lambda generator, size: generator.standard_normal(size, dtype=np.float32),
    "uniform": lambda generator, size: generator.random(size, dtype=np.float32),
}


def draw(prior: Prior, size: int, seed: int, count: int) -> Array:
    """Return codes from the prior, one row each; row i depends on the seed and i alone."""
    rows = [DRAW[prior](np.random.default_rng([seed, place]), size) for place in range(count)]
    return np.array(rows, dtype=np.float32).reshape(count, size)


def with_flags(codes: Array, labels: Array | None, classes: int) -> Array:
    """Return codes with a flag for each class behind them, if the model is conditional."""
    if labels is None:
        return codes
    return np.concatenate([codes, np.eye(classes, dtype=np.float32)[labels.astype(np.int64)]], axis=1)
