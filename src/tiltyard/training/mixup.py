"""MixUp: each row of a batch mixed with another one, and its label in the same proportion."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array


def mixed(arrays: tuple[Array, ...], alpha: float, chance: np.random.Generator) -> tuple[Array, ...]:
    """Mix rows across all arrays alike; a row's own part is the larger one."""
    rows = len(arrays[0])
    share = chance.beta(alpha, alpha, rows).astype(np.float32)
    share, partner = np.maximum(share, 1 - share), chance.permutation(rows)
    return tuple(_mix(array, share, partner) for array in arrays)


def _mix(array: Array, share: Array, partner: Array) -> Array:
    share = share.reshape(-1, *[1] * (array.ndim - 1))
    result: Array = share * array + (1 - share) * array[partner]
    return result
