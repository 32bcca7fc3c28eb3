"""k-means by Lloyd's algorithm, with the initial centres of k-means++, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tiltyard.arrays import Array

MAX_ITERATIONS = 300
TOLERANCE = 1e-4  # share of the mean variance of a feature by which centres must move to go on
BLOCK = 1 << 24  # distances at a time


@dataclass(frozen=True)
class KMeans:
    """Centres (clusters, features), and the mean squared distance of rows to the nearest one, by iteration."""

    centres: Array
    inertias: list[float] = field(default_factory=list)

    @classmethod
    def fit(cls, rows: Array, clusters: int, seed: int, starts: int) -> KMeans:
        """Return the best of several starts: that with the smallest inertia."""
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        found = [_lloyd(rows, clusters, np.random.default_rng([seed, start])) for start in range(starts)]
        return min(found, key=lambda each: each.inertias[-1])

    @classmethod
    def random(cls, rows: Array, clusters: int, seed: int) -> KMeans:
        """Return as many random rows as centres, as a baseline of k-means itself."""
        distinct = np.unique(rows, axis=0)
        chosen = np.random.default_rng(seed).choice(len(distinct), clusters, replace=len(distinct) < clusters)
        return cls(distinct[np.sort(chosen)].astype(np.float32))

    def inertia(self, rows: Array) -> float:
        """Return the mean squared distance of rows to the nearest centre."""
        return float(squared_distances(rows, self.centres).min(axis=1).mean(dtype=np.float64))


def squared_distances(rows: Array, centres: Array) -> Array:
    """Return the squared distance of each row to each centre."""
    size = max(1, BLOCK // max(1, len(centres)))
    blocks = [_distances(rows[start : start + size], centres) for start in range(0, len(rows), size)]
    return np.concatenate(blocks)


def _distances(rows: Array, centres: Array) -> Array:
    squares = np.einsum("ij,ij->i", rows, rows)[:, None] + np.einsum("ij,ij->i", centres, centres)
    return np.asarray(np.maximum(squares - 2 * rows @ centres.T, 0))


def _lloyd(rows: Array, clusters: int, generator: np.random.Generator) -> KMeans:
    """Move centres to the means of their rows until they stop; a centre without rows moves to the farthest row."""
    centres, inertias = _initial_centres(rows, clusters, generator), list[float]()
    limit, squares = TOLERANCE * float(rows.var(axis=0).mean()), np.einsum("ij,ij->i", rows, rows)
    for _ in range(MAX_ITERATIONS):
        distances = np.einsum("ij,ij->i", centres, centres) - 2 * rows @ centres.T  # less the square of each row
        nearest = distances.argmin(axis=1)
        own = np.maximum(distances[np.arange(len(rows)), nearest] + squares, 0)
        inertias.append(float(own.mean(dtype=np.float64)))
        moved = _means(rows, nearest, own, clusters)
        shift = float(np.square(moved - centres).sum())
        centres = moved
        if shift <= limit:
            break
    inertias.append(KMeans(centres).inertia(rows))
    return KMeans(centres, inertias)


def _means(rows: Array, nearest: Array, own: Array, clusters: int) -> Array:
    flags = np.zeros((clusters, len(rows)), dtype=np.float32)
    flags[nearest, np.arange(len(rows))] = 1
    counts = flags.sum(axis=1)
    means: Array = flags @ rows / np.maximum(counts, 1)[:, None]
    empty = np.flatnonzero(counts == 0)
    means[empty] = rows[np.argsort(-own, kind="stable")[: len(empty)]]
    return means


def _initial_centres(rows: Array, clusters: int, generator: np.random.Generator) -> Array:
    """Draw rows as centres, each with a probability that grows with the squared distance to those before."""
    places = [int(generator.integers(len(rows)))]
    nearest = squared_distances(rows, rows[places])[:, 0].astype(np.float64)
    for _ in range(clusters - 1):
        total = nearest.sum()
        share = nearest / total if total > 0 else None  # fewer distinct rows than clusters
        places.append(int(generator.choice(len(rows), p=share)))
        nearest = np.minimum(nearest, squared_distances(rows, rows[places[-1:]])[:, 0])
    return rows[places]
