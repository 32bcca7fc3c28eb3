"""Columns with few rows for each name: whether the names say something about the target, and how many are learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tiltyard.arrays import Array, is_missing
from tiltyard.config.draft.column_profile import MAX_LEARNED_NAMES, TOO_MANY, ColumnProfile
from tiltyard.modeling.columns.category import MOST

if TYPE_CHECKING:
    import pandas as pd

MAX_CELLS = 20_000_000  # rows times names: each name is a feature of every row
MIN_DEVIATIONS = 3.0  # of the correlation by chance, above which names say something
SEVERAL = 1.0  # added if the largest of several labels counts
MIN_PAIRS = 100  # rows whose name occurs in the other half
MAX_LABELS = 10  # the most frequent ones, each against all others


def with_names(profile: ColumnProfile, rows: pd.DataFrame, target: str, problem: str) -> ColumnProfile:
    """Keep a column of many names if these say something, and learn all of them if that is possible."""
    if problem != "multilabel" and profile.reason.endswith(TOO_MANY):
        cells, truth = rows[profile.name].tolist(), rows[target].tolist()
        reason = "" if informative(cells, truth, labels=problem == "classification") else profile.reason
        profile = replace(profile, reason=reason)
    if profile.reason or "top" not in profile.column:
        return profile
    return replace(profile, column={**profile.column, "top": learned(profile)})


def learned(profile: ColumnProfile) -> int:
    """Return how many names are learned: all of a small table, fewer if the rows are many."""
    return max(MAX_LEARNED_NAMES, min(profile.unique, MOST, MAX_CELLS // max(1, profile.rows)))


def informative(cells: Sequence[object], truth: Sequence[object], *, labels: bool) -> bool:
    """Return whether the mean target of a name in one half of the rows tells the targets of its rows in the other."""
    names = np.array(["" if is_missing(cell) else str(cell) for cell in cells])
    place = np.unique(names, return_inverse=True)[1]
    half = np.random.default_rng(0).permutation(len(names)) % 2 == 0
    wanted = targets(truth, labels=labels)
    deviations = [_deviations(place, target, half) for target in wanted]
    return max(deviations, default=0.0) > MIN_DEVIATIONS + SEVERAL * (len(wanted) > 1)


def targets(truth: Sequence[object], *, labels: bool) -> list[Array]:
    """Return ranks of numbers, which outliers do not dominate; or a flag for each frequent label."""
    if not labels:
        numbers = np.array(truth, dtype=np.float64)
        return [np.argsort(np.argsort(numbers, kind="stable"), kind="stable").astype(np.float64)]
    names, place, counts = np.unique(np.array([*map(str, truth)]), return_inverse=True, return_counts=True)
    frequent = np.argsort(-counts, kind="stable")[: 1 if len(names) == 2 else MAX_LABELS]
    return [(place == label).astype(np.float64) for label in frequent]


def _deviations(place: Array, target: Array, half: Array) -> float:
    """Return the correlation of targets with the means of the other half, in standard deviations of chance."""
    total = 0.0
    for rows in (half, ~half):
        counts = np.bincount(place[~rows], minlength=place.max() + 1)
        sums = np.bincount(place[~rows], target[~rows] - target[~rows].mean(), minlength=place.max() + 1)
        shared = rows & (counts[place] > 0)
        means, values = sums[place[shared]] / (1 + counts[place[shared]]), target[shared]
        if shared.sum() < MIN_PAIRS or not means.std() or not values.std():
            return 0.0
        total += float(np.corrcoef(means, values)[0, 1] * np.sqrt(shared.sum()))
    return float(total / np.sqrt(2))
