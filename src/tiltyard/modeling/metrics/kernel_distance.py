"""Kernel distance of two samples of features: the squared maximum mean discrepancy with a cubic polynomial kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tiltyard.arrays import Array

MAX_BLOCK = 500  # rows of each sample in a block
BLOCKS = 10  # at least so many, if there are rows enough
MAX_BLOCKS = 40
LEAST_ROWS = 4  # in each sample


@dataclass(frozen=True)
class KernelDistance:
    """An unbiased estimate, which may be negative, and its standard error."""

    value: float
    standard_error: float


def kernel_distance(first: Array, second: Array, seed: int = 0) -> KernelDistance:
    """Estimate the distance on disjoint blocks of shuffled rows; they are independent, which gives the standard error.

    Random subsets that overlap, as usual for the kernel inception distance, would make the error too small.
    """
    rows = min(len(first), len(second))
    if rows < LEAST_ROWS:
        raise ValueError(f"expected at least {LEAST_ROWS} rows in each sample; received {rows}")
    size = max(2, min(MAX_BLOCK, rows // BLOCKS))
    count = min(rows // size, MAX_BLOCKS)
    generator = np.random.default_rng(seed)
    blocks = [
        part[generator.permutation(len(part))[: count * size]].reshape(count, size, -1).astype(np.float64)
        for part in (first, second)
    ]
    values = [squared_discrepancy(*pair) for pair in zip(*blocks, strict=True)]
    return KernelDistance(float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(count)))


def squared_discrepancy(first: Array, second: Array) -> float:
    """Return the unbiased estimate of the squared discrepancy: pairs of a row with itself are left out."""
    within = sum(_mean_of_pairs(part) for part in (first, second))
    return within - 2 * float(_kernel(first, second).mean())


def _mean_of_pairs(rows: Array) -> float:
    kernel, count = _kernel(rows, rows), len(rows)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


def _kernel(first: Array, second: Array) -> Array:
    return np.asarray((first @ second.T / first.shape[1] + 1) ** 3)
