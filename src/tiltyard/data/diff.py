"""What changed between two tables: columns, rows, cells, and how the values are spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.columns.base import unit
from tiltyard.modeling.metrics.distance import drift_distances

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 10  # rows named of each kind
CHANCE = 0.001  # beyond which a difference in spread is told


@dataclass(frozen=True)
class TableDiff:
    """What is in one version and not in the other, and what both have with other values."""

    task: str
    versions: tuple[str, str]
    rows: tuple[int, int]
    columns_added: list[str]
    columns_removed: list[str]
    key: str | None  # the column by which rows were matched; without one a changed row is one removed and one added
    added: int
    removed: int
    changed: int
    cells: dict[str, int]  # of changed rows, how many differ in each column
    examples: dict[str, list[Any]]  # the first keys, or row numbers, of added, removed and changed rows
    spread: list[dict[str, Any]]  # columns whose values are spread otherwise, the most different first


def change(task: str, versions: tuple[str, str], frames: tuple[pd.DataFrame, pd.DataFrame]) -> TableDiff:
    """Compare an old table with a new one."""
    old, new = frames
    both = [name for name in old.columns if name in new.columns]
    key = _key(old, new, both)
    matched = _by_key(old, new, both, key) if key else _by_content(old, new, both)
    return TableDiff(
        task,
        versions,
        (len(old), len(new)),
        [name for name in new.columns if name not in both],
        [name for name in old.columns if name not in both],
        key,
        **matched,
        spread=_spread(old, new, both),
    )


def _key(old: pd.DataFrame, new: pd.DataFrame, names: list[str]) -> str | None:
    """Find the column that names rows: never the same twice nor missing, no measured quantity, most values in both."""
    for name in names:
        if all(map(_is_name, (old[name], new[name]))) and len(old) and old[name].isin(new[name]).mean() >= 0.5:
            return name
    return None


def _is_name(cells: pd.Series[Any]) -> bool:
    return bool(cells.dtype.kind != "f" and not cells.isna().any() and cells.is_unique)


def _by_key(old: pd.DataFrame, new: pd.DataFrame, names: list[str], key: str) -> dict[str, Any]:
    one, other = old[names].set_index(key), new[names].set_index(key)
    shared = one.index.intersection(other.index, sort=False)
    before, after = one.loc[shared], other.loc[shared]
    differs = {name: _differs(before[name], after[name]) for name in before.columns}
    changed = np.logical_or.reduce([np.zeros(len(shared), dtype=bool), *differs.values()])
    added, removed = other.index.difference(shared, sort=False), one.index.difference(shared, sort=False)
    return {
        "added": len(added),
        "removed": len(removed),
        "changed": int(changed.sum()),
        "cells": {name: int(where.sum()) for name, where in differs.items() if where.any()},
        "examples": {"added": _first(added), "removed": _first(removed), "changed": _first(shared[changed])},
    }


def _by_content(old: pd.DataFrame, new: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    """Count rows of one content: what the old table has more of was removed, the new one added."""
    one, other = (_fingerprints(frame[names]) for frame in (old, new))
    removed, added = _more(one, other), _more(other, one)
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


def _more(these: Array, those: Array) -> Array:
    """Return the places of rows of which there are more here than there, the last ones of each."""
    import pandas as pd

    nth = pd.Series(these).groupby(these).cumcount().to_numpy()
    counts = pd.Series(those).value_counts()
    there = counts.reindex(these, fill_value=0).to_numpy()
    return np.flatnonzero(nth >= there)


def _first(values: Any) -> list[Any]:
    return [value.item() if hasattr(value, "item") else value for value in values[:SHOWN]]


def _spread(old: pd.DataFrame, new: pd.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    """Measure how far the values of each column lie apart, where chance does not explain it."""
    found = []
    for name in names:
        one, other = (_values(frame[name]) for frame in (old, new))
        if one.dtype.kind != other.dtype.kind or not len(one) or not len(other):
            continue
        apart = [part for part in drift_distances(one, other) if part.chance < CHANCE / len(names)]
        if apart:
            values = {part.measure: round(part.value, 4) for part in apart}
            found.append({"column": name, "old": _told(one), "new": _told(other), **values})
    return sorted(found, key=lambda line: -float(line.get("PSI", 0)))


def _values(cells: pd.Series[Any]) -> Array:
    if cells.dtype.kind in "iuf":
        return cells.to_numpy(dtype=np.float64)
    return cells.map(str).to_numpy(dtype=np.str_)


def _told(values: Array) -> str:
    if values.dtype.kind == "f":
        scaled = unit(values)  # a sum of large numbers may be none
        return f"mean {np.nanmean(values / scaled) * scaled:.4g}" if np.isfinite(values).any() else "missing"
    names, counts = np.unique(values, return_counts=True)
    return f"{len(names):,} names, most {str(names[counts.argmax()])[:20]}"
