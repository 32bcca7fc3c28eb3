"""Agreement of two partitions of the same rows: adjusted Rand index and normalised mutual information."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array


def contingency(first: Array, second: Array) -> Array:
    """Return how many rows are in each pair of parts."""
    first, second = first.astype(np.int64), second.astype(np.int64)
    columns = int(second.max()) + 1
    pairs = np.bincount(first * columns + second, minlength=(int(first.max()) + 1) * columns)
    return pairs.reshape(-1, columns).astype(np.float64)


def adjusted_rand_index(first: Array, second: Array) -> float:
    """Return the share of pairs of rows on which both agree, less that by chance (Hubert and Arabie, 1985)."""
    table = contingency(first, second)
    together, rows, columns = (_pairs(counts).sum() for counts in (table, table.sum(axis=1), table.sum(axis=0)))
    total = _pairs(np.array(float(len(first))))
    if total == 0:
        return 1.0
    expected, highest = rows * columns / total, (rows + columns) / 2
    return 1.0 if highest == expected else float((together - expected) / (highest - expected))


def normalised_mutual_information(first: Array, second: Array) -> float:
    """Return the mutual information divided by the mean of both entropies; 1 if both have a single part."""
    table = contingency(first, second) / len(first)
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    mean = (_entropy(rows) + _entropy(columns)) / 2
    return 1.0 if mean == 0 else float(max(0.0, 2 * mean - _entropy(table.ravel())) / mean)


def _pairs(counts: Array) -> Array:
    return np.asarray(counts * (counts - 1) / 2)


def _entropy(shares: Array) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum())
