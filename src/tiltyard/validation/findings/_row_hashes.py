"""Near-duplicate detection: hash rows with values rounded to two grids, without comparing all pairs."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array
from tiltyard.validation.findings._dataset import CheckedData

CELL = 0.002  # size of a grid cell, relative to the range from the 10th to the 90th percentile
MIN_COLUMNS = 3  # continuous columns; with fewer, rows are similar by chance
MIN_DISTINCT = 0.5  # share of distinct values, above which a number is continuous
GRIDS = (0.0, 0.5)  # offsets in cells: values on both sides of a border of one grid are together in the other


def row_hashes(subject: CheckedData) -> list[Array]:
    """Return two hashes for each row, of which near duplicates share at least one; empty if not applicable."""
    columns = {name: column.comparable() for name, column in subject.columns.items()}
    continuous = {name: values for name, values in columns.items() if _is_continuous(values)}
    if len(continuous) < MIN_COLUMNS:
        return []
    discrete = [values for name, values in columns.items() if name not in continuous]
    return [_hash([*discrete, *(_rounded(values, grid) for values in continuous.values())]) for grid in GRIDS]


def shuffled_hashes(subject: CheckedData) -> list[Array]:
    """Return the same hashes after shuffling the continuous columns, to count matches by chance."""
    rng = np.random.default_rng(0)
    columns = {name: column.comparable() for name, column in subject.columns.items()}
    shuffled = [rng.permutation(values) if _is_continuous(values) else values for values in columns.values()]
    return [_hash([_rounded(v, grid) if _is_continuous(v) else v for v in shuffled]) for grid in GRIDS]


def repeated(key: Array) -> Array:
    """Return which rows have a key that occurs more than once."""
    _, groups, counts = np.unique(key, return_inverse=True, return_counts=True)
    return np.asarray(counts[groups] > 1)


def _is_continuous(values: Array) -> bool:
    if values.dtype.kind != "f" or len(values) < 20:
        return False
    present = values[~np.isnan(values)]
    return bool(len(present)) and len(np.unique(present)) > MIN_DISTINCT * len(present)


def _rounded(values: Array, offset: float) -> Array:
    """Return the grid cell of each value."""
    low, high = np.nanquantile(values / 4, [0.1, 0.9])  # divided by 4, as the widest range would overflow
    cell = 4 * CELL * (high - low) or 1.0
    with np.errstate(over="ignore"):  # an overflow is clipped, too
        return np.asarray(np.floor(np.clip(values / cell + offset, -(2.0**52), 2.0**52)))


def _hash(columns: list[Array]) -> Array:
    import pandas as pd

    frame = pd.DataFrame({str(place): values for place, values in enumerate(columns)})
    return np.asarray(pd.util.hash_pandas_object(frame, index=False).to_numpy())
