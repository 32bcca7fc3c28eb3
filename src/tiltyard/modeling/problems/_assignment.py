"""The assignment with the lowest total cost (Kuhn 1955, Munkres 1957), by shortest augmenting paths."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array


def assign(costs: Array) -> tuple[Array, Array]:
    """Return rows and columns of a matrix of finite costs, each used once, with the lowest sum; the rows are sorted.

    A matrix that is not square leaves rows or columns over.
    """
    if not np.isfinite(costs).all():
        raise ValueError("expected finite costs")
    rows, columns = costs.shape
    if rows > columns:
        across, down = assign(costs.T)
        order = np.argsort(down, kind="stable")
        return down[order], across[order]
    row_potential, column_potential = np.zeros(rows + 1), np.zeros(columns + 1)
    row_of = np.zeros(columns + 1, dtype=np.int64)  # the row of each column, from 1; 0 if it is free
    for row in range(1, rows + 1):
        row_of[0] = row
        _augment(costs, row_potential, column_potential, row_of)
    used = np.flatnonzero(row_of[1:])
    order = np.argsort(row_of[1:][used], kind="stable")
    return row_of[1:][used][order] - 1, used[order]


def _augment(costs: Array, row_potential: Array, column_potential: Array, row_of: Array) -> None:
    """Give the row in `row_of[0]` a column; rows along the cheapest path change theirs."""
    size = len(row_of)
    distance, seen, before = np.full(size, np.inf), np.zeros(size, dtype=bool), np.zeros(size, dtype=np.int64)
    column = 0
    while row_of[column]:
        seen[column] = True
        row = row_of[column]
        reduced = costs[row - 1] - row_potential[row] - column_potential[1:]
        better = ~seen[1:] & (reduced < distance[1:])
        distance[1:][better], before[1:][better] = reduced[better], column
        following = 1 + int(np.argmin(np.where(seen[1:], np.inf, distance[1:])))
        step = distance[following]
        row_potential[row_of[seen]] += step
        column_potential[seen] -= step
        distance[~seen] -= step
        column = following
    while column:
        row_of[column] = row_of[before[column]]
        column = before[column]
