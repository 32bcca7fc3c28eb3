"""Target leakage: find features that predict the target almost perfectly on their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tiltyard.arrays import Array, is_missing
from tiltyard.modeling.columns._label_cells import labels_of
from tiltyard.modeling.columns.base import unit
from tiltyard.modeling.metrics import scores
from tiltyard.modeling.metrics.confusion_matrix import confusion

if TYPE_CHECKING:
    import pandas as pd

    from tiltyard.config.draft.column_profile import ColumnProfile

MIN_BALANCED_ACCURACY = 0.985  # on rows held out from the tree
MIN_R2 = 0.95  # on such rows; also the smallest rank correlation of a copy of the target in other units
MAX_BINS = 12  # distinct values of a feature that may be bins of the target
MIN_BIN_ROWS = 20  # smaller bins may fit by chance
MIN_ROWS = 50  # fewer rows are not enough for a tree
MAX_LABELS, MIN_LABEL_ROWS = 20, 10  # labels that are tried, if rows have several, and the rows of each


def exclude(
    profile: ColumnProfile, rows: pd.DataFrame, target: str, problem: str, separator: str | None
) -> ColumnProfile:
    """Leave a feature out if it leaks the target."""
    labels, cells = problem == "classification", rows[profile.name].tolist()
    if profile.reason or (profile.kind == "date" and problem not in ("classification", "multilabel")):
        return profile  # a number may grow with time
    if problem == "multilabel":
        score, label = leaked_label(cells, [labels_of(cell, separator) for cell in rows[target]])
        text = f"leaks the label {label}: predicts it with a score of {score:.1%}"
        return profile.left_out(text) if score else profile
    if score := leakage_score(cells, rows[target].tolist(), labels=labels):
        return profile.left_out(f"leaks the target: predicts it alone with a score of {score:.1%}")
    return profile


def leakage_score(cells: Sequence[object], truth: Sequence[object], *, labels: bool) -> float:
    """Return how well one column predicts the target, by rank correlation or a small tree; 0 if not suspicious."""
    from sklearn import tree
    from sklearn.metrics import r2_score

    if len(cells) < MIN_ROWS:
        return 0.0
    values, target = _numbers(cells)[:, None], _codes(truth) if labels else _numbers(truth)
    values = values / unit(values)  # trees use float32
    target = target if labels else target / unit(target)
    if labels and _are_mostly_unique(target):
        return 0.0
    if not labels and (correlation := abs(_rank_correlation(values[:, 0], target))) >= MIN_R2:
        return correlation
    if not labels and _has_bins(values):  # the feature may be a binned target, so predict it from the target
        return leakage_score(truth, cells, labels=True)
    chosen = np.random.default_rng(0).permutation(len(cells)) % 2 == 0
    if labels and (_are_mostly_unique(target[chosen]) or len(np.unique(target[~chosen])) < 2):
        return 0.0  # with one label, every prediction is right
    kind = tree.DecisionTreeClassifier if labels else tree.DecisionTreeRegressor
    model = kind(max_leaf_nodes=64, min_samples_leaf=3, random_state=0).fit(values[chosen], target[chosen])
    predicted = model.predict(values[~chosen])
    score = _balanced_accuracy(target[~chosen], predicted) if labels else float(r2_score(target[~chosen], predicted))
    return score if score >= (MIN_BALANCED_ACCURACY if labels else MIN_R2) else 0.0


def leaked_label(cells: Sequence[object], label_sets: Sequence[Sequence[str]]) -> tuple[float, str]:
    """Return the score of `leakage_score` for the label that a column predicts best, of those in many rows."""
    counts = Counter(label for labels in label_sets for label in labels)
    frequent = [label for label, count in counts.most_common(MAX_LABELS) if count >= MIN_LABEL_ROWS]
    scores = [
        (leakage_score(cells, [label in labels for labels in label_sets], labels=True), label) for label in frequent
    ]
    return max(scores, default=(0.0, ""))


def _are_mostly_unique(target: Array) -> bool:
    """Return whether most labels occur only once: then they are not classes."""
    return len(np.unique(target)) * 2 > len(target)


def _balanced_accuracy(truth: Array, predicted: Array) -> float:
    return scores.balanced_accuracy(confusion(truth, predicted, int(max(truth.max(), predicted.max())) + 1))


def _has_bins(values: Array) -> bool:
    counts = np.unique(values, return_counts=True)[1]
    return 2 <= len(counts) <= MAX_BINS and int(counts.min()) >= MIN_BIN_ROWS


def _rank_correlation(first: Array, second: Array) -> float:
    """Return Spearman's rank correlation, which detects a copy of the target in any unit."""
    import pandas as pd

    return float(np.nan_to_num(pd.Series(first).rank().corr(pd.Series(second).rank())))


def _numbers(cells: Sequence[object]) -> Array:
    """Return numbers, or codes of names in alphabetical order; missing values become less than the minimum."""
    try:
        numbers = np.array([np.nan if is_missing(cell) else float(str(cell)) for cell in cells])
    except ValueError:
        return _codes(cells).astype(np.float64)
    filled: Array = np.nan_to_num(numbers, nan=float(np.nanmin(numbers, initial=0.0)) - 1)
    return filled


def _codes(cells: Sequence[object]) -> Array:
    names = ["" if is_missing(cell) else str(cell) for cell in cells]
    places = {name: place for place, name in enumerate(sorted(set(names)))}
    return np.array([places[name] for name in names])
