"""Target leakage: a feature that alone tells the target knows what nobody will know when the model is asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiltyard.arrays import Array, empty
from tiltyard.modeling.columns.base import unit
from tiltyard.modeling.metrics import scores

SURE = 0.985  # balanced accuracy on rows that the tree has not seen
ALIKE = 0.95  # R2 on such rows, or correlation of ranks: of a quantity that is a copy of the target in other units
BINS = 12  # different values of a feature that may be ranges of the target
RAREST = 20  # rows of each: fewer are told by chance
MIN_ROWS = 50  # rows below which a tree proves nothing


def leakage_score(cells: Sequence[object], truth: Sequence[object], *, labels: bool) -> float:
    """Return how well one column tells the target, by rank or through a small tree, if suspiciously well; else 0."""
    from sklearn import tree
    from sklearn.metrics import r2_score

    if len(cells) < MIN_ROWS:
        return 0.0
    values, target = _numbers(cells)[:, None], _codes(truth) if labels else _numbers(truth)
    values = values / unit(values)  # a tree takes float32 alone
    target = target if labels else target / unit(target)
    if labels and _are_scattered(target):
        return 0.0
    if not labels and (likeness := abs(_rank_correlation(values[:, 0], target))) >= ALIKE:
        return likeness
    if not labels and _has_bins(values):  # told by the target: a name for a range of it
        return leakage_score(truth, cells, labels=True)
    chosen = np.random.default_rng(0).permutation(len(cells)) % 2 == 0
    if labels and (_are_scattered(target[chosen]) or len(np.unique(target[~chosen])) < 2):
        return 0.0  # of one label alone whatever is answered is right
    kind = tree.DecisionTreeClassifier if labels else tree.DecisionTreeRegressor
    model = kind(max_leaf_nodes=64, min_samples_leaf=3, random_state=0).fit(values[chosen], target[chosen])
    told = model.predict(values[~chosen])
    found = _recalled(target[~chosen], told) if labels else float(r2_score(target[~chosen], told))
    return found if found >= (SURE if labels else ALIKE) else 0.0


def _are_scattered(target: Array) -> bool:
    """Return whether labels hardly come twice: then they are no classes."""
    return len(np.unique(target)) * 2 > len(target)


def _recalled(truth: Array, told: Array) -> float:
    return scores.balanced_accuracy(scores.confusion(truth, told, int(max(truth.max(), told.max())) + 1))


def _has_bins(values: Array) -> bool:
    counts = np.unique(values, return_counts=True)[1]
    return 2 <= len(counts) <= BINS and int(counts.min()) >= RAREST


def _rank_correlation(one: Array, other: Array) -> float:
    """Return Spearman's correlation: that of the ranks, which finds a copy of the target in any unit."""
    import pandas as pd

    return float(np.nan_to_num(pd.Series(one).rank().corr(pd.Series(other).rank())))


def _numbers(cells: Sequence[object]) -> Array:
    """Return numbers as they are, names as codes in their order, and -1 (or the least) for what is missing."""
    try:
        numbers = np.array([np.nan if empty(cell) else float(str(cell)) for cell in cells])
    except ValueError:
        return _codes(cells).astype(np.float64)
    filled: Array = np.nan_to_num(numbers, nan=float(np.nanmin(numbers, initial=0.0)) - 1)
    return filled


def _codes(cells: Sequence[object]) -> Array:
    names = ["" if empty(cell) else str(cell) for cell in cells]
    places = {name: place for place, name in enumerate(sorted(set(names)))}
    return np.array([places[name] for name in names])
