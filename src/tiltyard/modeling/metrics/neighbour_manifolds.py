"""Precision, recall, density and coverage of samples: which lie among the nearest neighbours of real rows, or reverse.

Improved precision and recall are those of Kynkaanniemi et al. (2019), density and coverage those of Naeem et al.
(2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiltyard.arrays import Array

NEIGHBOURS = 5
MAX_ROWS = 10_000  # of each sample, evenly spaced: the cost is quadratic
BLOCK = 512  # rows whose distances to all others are in memory


@dataclass(frozen=True)
class Neighbourhoods:
    """What is known of each sample and of each real row; the metrics are means of them."""

    precise: Array  # of each sample: 1 if it is within the neighbourhood of a real row
    density: Array  # of each sample: in how many of them, divided by the number of neighbours
    recalled: Array  # of each real row: 1 if it is within the neighbourhood of a sample
    covered: Array  # of each real row: 1 if a sample is within its neighbourhood

    @property
    def scores(self) -> dict[str, float]:
        """Return precision, recall, density and coverage."""
        parts = {"precision": self.precise, "recall": self.recalled, "density": self.density, "coverage": self.covered}
        return {name: float(part.mean()) for name, part in parts.items()}


def neighbourhoods(real: Array, samples: Array, neighbours: int = NEIGHBOURS) -> Neighbourhoods:
    """Compare samples with real rows by features (rows, width); a neighbourhood reaches to the k-th nearest row."""
    real, samples = (part[evenly(len(part))].astype(np.float64) for part in (real, samples))
    least = min(len(real), len(samples))
    if least <= neighbours:
        raise ValueError(f"expected more than {neighbours} rows in each sample; received {least}")
    centre = real.mean(axis=0)  # rounding grows with the distance from the origin
    real, samples = real - centre, samples - centre
    real_radii, sample_radii = _radii(real, neighbours), _radii(samples, neighbours)
    counts, recalled, covered = np.empty(len(samples)), np.zeros(len(real), bool), np.zeros(len(real), bool)
    for start in range(0, len(samples), BLOCK):
        part = slice(start, start + BLOCK)
        distances = squared_distances(samples[part], real)
        within = distances <= real_radii
        counts[part] = within.sum(axis=1)
        covered |= within.any(axis=0)
        recalled |= (distances <= sample_radii[part, None]).any(axis=0)
    flags = (flag.astype(np.float64) for flag in (counts > 0, recalled, covered))
    precise, was_recalled, was_covered = flags
    return Neighbourhoods(precise, counts / neighbours, was_recalled, was_covered)


def evenly(rows: int) -> Array:
    """Return the places of at most MAX_ROWS rows, evenly spaced."""
    return np.unique(np.linspace(0, rows - 1, min(rows, MAX_ROWS)).astype(np.int64))


def nearest(rows: Array, known: Array) -> tuple[Array, Array]:
    """Return the distance of each row to the nearest known row, and the place of that row."""
    distances, places = np.empty(len(rows)), np.empty(len(rows), np.int64)
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        block = squared_distances(rows[part].astype(np.float64), known.astype(np.float64))
        places[part] = block.argmin(axis=1)
        distances[part] = np.sqrt(block.min(axis=1))
    return distances, places


def squared_distances(first: Array, second: Array) -> Array:
    """Return the squared distance of each row of one to each row of the other."""
    squares = np.square(first).sum(axis=1)[:, None] + np.square(second).sum(axis=1)
    return np.asarray(np.maximum(squares - 2 * first @ second.T, 0.0))


def _radii(rows: Array, neighbours: int) -> Array:
    """Return the squared distance of each row to its k-th nearest other row."""
    found = []
    for start in range(0, len(rows), BLOCK):
        block = squared_distances(rows[start : start + BLOCK], rows)
        places = np.arange(len(block))
        block[places, start + places] = 0.0  # a row is not exactly 0 from itself after rounding
        found.append(np.partition(block, neighbours, axis=1)[:, neighbours])
    return np.concatenate(found)
