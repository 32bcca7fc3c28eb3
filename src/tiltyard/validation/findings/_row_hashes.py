"""Rows that are nearly the same: found by hashing rounded values on two grids, so that no row meets every other."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array
from tiltyard.validation.findings._dataset import CheckedData

CELL = 0.002  # of a column's spread from its tenth to its last tenth: what is closer is taken for nearly the same
MIN_COLUMNS = 3  # columns of numbers with many values; with fewer, rows are alike by chance
MANY = 0.5  # different values among the rows, beyond which a number is taken for measured and not for counted
GRIDS = (0.0, 0.5)  # by how much of a cell each is moved: what a border parts on one, is together on the other


def row_hashes(subject: CheckedData) -> list[Array]:
    """Return two hashes of each row that nearly identical rows share, one or the other; none if it does not apply."""
    columns = {name: column.comparable() for name, column in subject.columns.items()}
    measured = {name: values for name, values in columns.items() if _measured(values)}
    if len(measured) < MIN_COLUMNS:
        return []
    others = [values for name, values in columns.items() if name not in measured]
    return [_hash([*others, *(_rounded(values, grid) for values in measured.values())]) for grid in GRIDS]


def shuffled_hashes(subject: CheckedData) -> list[Array]:
    """Return such hashes of rows whose measured columns were shuffled: how many meet by chance."""
    dice = np.random.default_rng(0)
    columns = {name: column.comparable() for name, column in subject.columns.items()}
    mixed = [dice.permutation(values) if _measured(values) else values for values in columns.values()]
    return [_hash([_rounded(v, grid) if _measured(v) else v for v in mixed]) for grid in GRIDS]


def repeated(key: Array) -> Array:
    """Return which keys occur more than once."""
    _, where, counts = np.unique(key, return_inverse=True, return_counts=True)
    return np.asarray(counts[where] > 1)


def _measured(values: Array) -> bool:
    if values.dtype.kind != "f" or len(values) < 20:
        return False
    known = values[~np.isnan(values)]
    return bool(len(known)) and len(np.unique(known)) > MANY * len(known)


def _rounded(values: Array, moved: float) -> Array:
    """Return the number of the cell of a grid that each value lies in."""
    low, high = np.nanquantile(values / 4, [0.1, 0.9])  # a quarter, as the widest range is no float
    cell = 4 * CELL * (high - low) or 1.0
    with np.errstate(over="ignore"):  # a place beyond all floats is clipped like others
        return np.asarray(np.floor(np.clip(values / cell + moved, -(2.0**52), 2.0**52)))


def _hash(columns: list[Array]) -> Array:
    import pandas as pd

    frame = pd.DataFrame({str(place): values for place, values in enumerate(columns)})
    return np.asarray(pd.util.hash_pandas_object(frame, index=False).to_numpy())
