"""Difference between two tables: columns, rows, cells, and the distribution of each column."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.columns.base import unit
from tiltyard.modeling.metrics.drift_distance import drift_distances

if TYPE_CHECKING:
    import pandas as pd

MAX_EXAMPLES = 10  # rows listed for each kind of change
MAX_P_VALUE = 0.001  # a difference between distributions is reported below this


@dataclass(frozen=True)
class TableDiff:
    """The columns and rows that two versions of a table do not share, and the values that differ."""

    task: str
    versions: tuple[str, str]
    rows: tuple[int, int]
    columns_added: list[str]
    columns_removed: list[str]
    key: str | None  # the column by which rows are matched; without it a changed row counts as removed and added
    added: int
    removed: int
    changed: int
    cells: dict[str, int]  # the number of changed cells in each column
    examples: dict[str, list[Any]]  # the first keys, or row numbers, of added, removed and changed rows
    spread: list[dict[str, Any]]  # columns whose distribution differs, the most different first
    files: list[str] = field(default_factory=list)  # that differ, if the table is joined from several


def compare(task: str, versions: tuple[str, str], frames: tuple[pd.DataFrame, pd.DataFrame]) -> TableDiff:
    """Compare an old table with a new one."""
    old, new = frames
    shared = [name for name in old.columns if name in new.columns]
    key = _key(old, new, shared)
    matched = _by_key(old, new, shared, key) if key else _by_content(old, new, shared)
    return TableDiff(
        task,
        versions,
        (len(old), len(new)),
        [name for name in new.columns if name not in shared],
        [name for name in old.columns if name not in shared],
        key,
        **matched,
        spread=_shifted_columns(old, new, shared),
    )


def _key(old: pd.DataFrame, new: pd.DataFrame, names: list[str]) -> str | None:
    """Find the column that identifies rows: unique, never missing, no fractions, and most values in both tables."""
    for name in names:
        if all(map(_is_key, (old[name], new[name]))) and len(old) and old[name].isin(new[name]).mean() >= 0.5:
            return name
    return None


def _is_key(cells: pd.Series[Any]) -> bool:
    return bool(cells.dtype.kind != "f" and not cells.isna().any() and cells.is_unique)


def _by_key(old: pd.DataFrame, new: pd.DataFrame, names: list[str], key: str) -> dict[str, Any]:
    old_rows, new_rows = old[names].set_index(key), new[names].set_index(key)
    shared = old_rows.index.intersection(new_rows.index, sort=False)
    before, after = old_rows.loc[shared], new_rows.loc[shared]
    differs = {name: _differs(before[name], after[name]) for name in before.columns}
    changed = np.logical_or.reduce([np.zeros(len(shared), dtype=bool), *differs.values()])
    added, removed = new_rows.index.difference(shared, sort=False), old_rows.index.difference(shared, sort=False)
    return {
        "added": len(added),
        "removed": len(removed),
        "changed": int(changed.sum()),
        "cells": {name: int(where.sum()) for name, where in differs.items() if where.any()},
        "examples": {"added": _first(added), "removed": _first(removed), "changed": _first(shared[changed])},
    }


def _by_content(old: pd.DataFrame, new: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    """Match rows by their whole content: surplus rows of the old table were removed, those of the new one added."""
    old_rows, new_rows = (_fingerprints(frame[names]) for frame in (old, new))
    removed, added = _surplus(old_rows, new_rows), _surplus(new_rows, old_rows)
    return {
        "added": len(added),
        "removed": len(removed),
        "changed": 0,
        "cells": {},
        "examples": {"added": _first(added), "removed": _first(removed), "changed": []},
    }


def _differs(before: pd.Series[Any], after: pd.Series[Any]) -> Array:
    same = (before.to_numpy() == after.to_numpy()) | (before.isna() & after.isna()).to_numpy()
    return np.asarray(~same.astype(bool))


def _fingerprints(frame: pd.DataFrame) -> Array:
    import pandas as pd

    return np.asarray(pd.util.hash_pandas_object(frame.astype(str), index=False), dtype=np.uint64)


def _surplus(first: Array, second: Array) -> Array:
    """Return the positions of rows that occur more often in `first` than in `second`, the last ones of each."""
    import pandas as pd

    nth = pd.Series(first).groupby(first).cumcount().to_numpy()
    counts = pd.Series(second).value_counts()
    available = counts.reindex(first, fill_value=0).to_numpy()
    return np.flatnonzero(nth >= available)


def _first(values: Any) -> list[Any]:
    return [value.item() if hasattr(value, "item") else value for value in values[:MAX_EXAMPLES]]


def _shifted_columns(old: pd.DataFrame, new: pd.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    """Measure the distance between the distributions of each column, where it is significant."""
    shifted = []
    for name in names:
        old_values, new_values = (_values(frame[name]) for frame in (old, new))
        if old_values.dtype.kind != new_values.dtype.kind or not len(old_values) or not len(new_values):
            continue
        apart = [part for part in drift_distances(old_values, new_values) if part.chance < MAX_P_VALUE / len(names)]
        if apart:
            values = {part.measure: round(part.value, 4) for part in apart}
            shifted.append({"column": name, "old": _summary(old_values), "new": _summary(new_values), **values})
    return sorted(shifted, key=lambda line: -float(line.get("PSI", 0)))


def _values(cells: pd.Series[Any]) -> Array:
    if cells.dtype.kind in "iuf":
        return cells.to_numpy(dtype=np.float64)
    return cells.map(str).to_numpy(dtype=np.str_)


def _summary(values: Array) -> str:
    if values.dtype.kind == "f":
        scaled = unit(values)  # a sum of large numbers may overflow
        return f"mean {np.nanmean(values / scaled) * scaled:.4g}" if np.isfinite(values).any() else "missing"
    names, counts = np.unique(values, return_counts=True)
    return f"{len(names):,} values, most often {str(names[counts.argmax()])[:20]}"
