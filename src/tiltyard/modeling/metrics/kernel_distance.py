"""Kernel distance of two samples of features: the squared maximum mean discrepancy with a cubic polynomial kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tiltyard.arrays import Array

MAX_BLOCK = 250  # rows of each sample in a block
BLOCKS = 10  # at least so many, if there are rows enough
MAX_BLOCKS = 40
LEAST_ROWS = 4  # in each sample


@dataclass(frozen=True)
class KernelDistance:
    """An unbiased estimate, which may be negative, and its standard error."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class KernelBlocks:
    """The kernels of disjoint blocks of shuffled rows; blocks are independent, which gives a standard error.

    Random subsets that overlap, as usual for the kernel inception distance, would make the error too small.
    """

    places: tuple[Array, Array]  # of the rows of each sample, (blocks, rows)
    within: tuple[Array, Array]  # kernels of the rows of one sample, (blocks, rows, rows)
    between: Array

    @classmethod
    def of(cls, first: Array, second: Array, seed: int = 0) -> KernelBlocks:
        """Compute the kernels of two samples of features (rows, width)."""
        rows = min(len(first), len(second))
        if rows < LEAST_ROWS:
            raise ValueError(f"expected at least {LEAST_ROWS} rows in each sample; received {rows}")
        size = max(2, min(MAX_BLOCK, rows // BLOCKS))
        count, generator = min(rows // size, MAX_BLOCKS), np.random.default_rng(seed)
        one, other = (generator.permutation(len(part))[: count * size].reshape(count, size) for part in (first, second))
        x, y = first[one].astype(np.float64), second[other].astype(np.float64)
        return cls((one, other), (_kernel(x, x), _kernel(y, y)), _kernel(x, y))

    def distance(self) -> KernelDistance:
        """Return the mean of the blocks and its standard error."""
        values = self._of_blocks(*(np.ones(places.shape) for places in self.places))
        return KernelDistance(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))))

    def weighted(self, first: Array, second: Array) -> float:
        """Return the distance where rows of each sample count so often; pairs of a row with itself count never."""
        return float(np.nanmean(self._of_blocks(first[self.places[0]], second[self.places[1]])))

    def _of_blocks(self, first: Array, second: Array) -> Array:
        """Return the unbiased estimate of each block; NaN for one without two different rows of each sample."""
        x, y = first.astype(np.float64), second.astype(np.float64)
        crossed = _weighted_sum(x, self.between, y)
        with np.errstate(invalid="ignore", divide="ignore"):
            parts = [_mean_of_pairs(w, kernel) for w, kernel in zip((x, y), self.within, strict=True)]
            return np.asarray(parts[0] + parts[1] - 2 * crossed / (x.sum(axis=1) * y.sum(axis=1)))


def kernel_distance(first: Array, second: Array, seed: int = 0) -> KernelDistance:
    """Estimate the distance of two samples of features (rows, width)."""
    return KernelBlocks.of(first, second, seed).distance()


def _mean_of_pairs(weights: Array, kernel: Array) -> Array:
    """Return the mean kernel of pairs of different rows."""
    alone = (np.square(weights) * np.diagonal(kernel, axis1=1, axis2=2)).sum(axis=1)
    pairs = np.square(weights.sum(axis=1)) - np.square(weights).sum(axis=1)
    return np.asarray((_weighted_sum(weights, kernel, weights) - alone) / pairs)


def _weighted_sum(left: Array, kernel: Array, right: Array) -> Array:
    return np.asarray(((left[:, None, :] @ kernel)[:, 0] * right).sum(axis=1))


def _kernel(first: Array, second: Array) -> Array:
    return np.asarray((first @ second.transpose(0, 2, 1) / first.shape[2] + 1) ** 3)
