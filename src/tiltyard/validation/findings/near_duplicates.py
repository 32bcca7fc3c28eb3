"""Near-duplicate rows: hash rows with values rounded to two grids, without comparing all pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import MIN_COPIES, Finding, Found, join_first, share

CELL = 0.002  # size of a grid cell, relative to the range from the 10th to the 90th percentile
MIN_COLUMNS = 3  # continuous columns; with fewer, rows are similar by chance
MIN_DISTINCT = 0.5  # share of distinct values, above which a number is continuous
GRIDS = (0.0, 0.5)  # offsets in cells: values on both sides of a border of one grid are together in the other


class NearDuplicates(Finding):
    """An observation recorded twice with different rounding gets twice the weight."""

    code: ClassVar = "near_duplicates"
    title: ClassVar = "rows that are nearly the same"

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Compare rounded rows with the number of matches by chance; exact duplicates are another finding."""
        keys = row_hashes(subject) if subject.task.modality == "table" else []
        if not keys or subject.hashes is None:
            return
        exact = repeated(subject.hashes[0])[subject.frame.index.to_numpy()]
        near = np.any([repeated(key) for key in keys], axis=0) & ~exact
        count = int(near.sum())
        if count < MIN_COPIES:
            return
        chance = int(np.any([repeated(key) for key in shuffled_hashes(subject)], axis=0).sum())
        if count > MIN_COPIES + 3 * chance:
            rows = subject.row_numbers(np.flatnonzero(near))
            text = f"{share(count, len(near))} rows nearly equal another one, such as rows {join_first(rows)}; "
            hint = "if they are one observation recorded twice, keep one of each"
            yield self.found("warning", "", f"{text}expected {chance} by chance", hint)


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
