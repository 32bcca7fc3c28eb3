"""Random ranks of rows within their label, by which they are dealt to folds."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array


def rank(features: Array, strata: Array, seed: int) -> Array:
    """Assign a random number to each row within its stratum; identical rows share a number."""
    rows = np.ascontiguousarray(features).reshape(len(features), -1)
    _, first, group = np.unique(
        rows.view(f"V{rows.itemsize * rows.shape[1]}")[:, 0], return_index=True, return_inverse=True
    )
    number, generator = np.empty(len(first), dtype=np.int64), np.random.default_rng(seed)
    for stratum in np.unique(strata[first]):
        members = np.flatnonzero(strata[first] == stratum)
        number[members] = generator.permutation(len(members))
    return number[group]
