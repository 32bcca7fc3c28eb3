"""Ranking metrics of recommendations, for each user: how high the relevant items of the test rows stand.

The values of a user stand in each of the user's rows, with a weight, so that the weighted mean over rows is the mean
over users, also of rows that a bootstrap draws user by user.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tiltyard.arrays import Array

TOP = 10  # items of a list
NDCG, RECALL, RECIPROCAL, WEIGHT = 1, 2, 3, 4  # columns of outputs; the first, 0, is the rating
NOWHERE = math.inf  # rank of an item that is not ranked

Scores = Callable[[int], Array]  # the scores of all items for a user, by code


def ranks(scores: Scores, user: Array, item: Array, hidden: Callable[[int], Array]) -> Array:
    """Return the rank of each row's item among all items, from 1, without those hidden from the user.

    An item of the evaluated rows is never hidden. Code 0 is an item that no training row has: it is not ranked. Of
    equal scores, the item with the lower code comes first.
    """
    found = np.full(len(user), NOWHERE)
    for rows in by_user(user):
        code = int(user[rows[0]])
        all_scores = scores(code).astype(np.float64)
        values, own = all_scores.copy(), item[rows]
        values[hidden(code)] = -np.inf
        values[own] = all_scores[own]
        values[0] = -np.inf
        place = np.empty(len(values))
        place[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)
        found[rows] = np.where(own > 0, place[own], NOWHERE)
    return found


def by_user(user: Array) -> list[Array]:
    """Return the row indices of each user."""
    if not len(user):
        return []
    order = np.argsort(user, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(user[order])) + 1)


def of_users(rank: Array, relevant: Array, user: Array, top: int = TOP) -> Array:
    """Return NDCG, recall and reciprocal rank of each row's user, and the weight of the row.

    Rows of users without a relevant item have no weight, since nothing can be found for them.
    """
    _, place = np.unique(user, return_inverse=True)
    counts = np.bincount(place, weights=relevant)
    gains = np.where(relevant & (rank <= top), 1 / np.log2(rank + 1), 0.0)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, top + 2)))])[np.minimum(counts, top).astype(int)]
    hits = np.bincount(place, weights=relevant & (rank <= top))
    first = np.full(len(counts), NOWHERE)
    np.minimum.at(first, place[relevant], rank[relevant])
    found = np.where(counts > 0, 1.0, 0.0)
    values = [np.bincount(place, weights=gains) / np.maximum(ideal, 1e-12), hits / np.maximum(counts, 1), 1 / first]
    columns = [*(value * found for value in values), found / np.bincount(place)]
    return np.stack(columns, axis=1)[place]


def mean_over_users(outputs: Array, column: int) -> float:
    """Return the mean over users of a column; 0 if no row counts."""
    weights = outputs[:, WEIGHT]
    total = float(weights.sum())
    return float((weights * outputs[:, column]).sum() / total) if total > 0 else 0.0


def gini(counts: Array) -> float:
    """Return how unequal counts are: 0 if all are equal, near 1 if one has all."""
    ordered, items = np.sort(counts.astype(np.float64)), len(counts)
    if not ordered.sum():
        return 0.0
    return float((2 * np.arange(1, items + 1) - items - 1) @ ordered / (items * ordered.sum()))
