"""Distances between two samples for drift and skew: PSI, Kolmogorov-Smirnov, chi-square, with p-values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tiltyard.arrays import Array

BINS = 10  # deciles of the old sample
MAX_NAMES = 50  # categories counted separately; all others are counted together
MIN_COUNT = 10  # rows of both samples; a category with fewer is counted with the others


@dataclass(frozen=True)
class Distance:
    """The distance of two samples by one measure, and its p-value."""

    measure: str
    value: float
    chance: float


def drift_distances(old: Array, new: Array) -> list[Distance]:
    """Measure numbers by PSI and KS, categories by PSI and chi-square; missing values count in PSI only."""
    if old.dtype.kind == "f":
        old_present, new_present = old[~np.isnan(old)], new[~np.isnan(new)]
        index = psi(*binned(old, new))
        return [index, ks(old_present, new_present)] if len(old_present) and len(new_present) else [index]
    counts = counted(old, new)
    return [psi(*counts), chi2(*counts)]


def binned(old: Array, new: Array) -> tuple[Array, Array]:
    """Count numbers by decile of the old sample; missing values get a bin of their own."""
    present = old[~np.isnan(old)]
    edges = np.unique(np.quantile(present, np.arange(1, BINS) / BINS)) if len(present) else np.empty(0)
    old_counts, new_counts = (_histogram(values, edges) for values in (old, new))
    used = (old_counts + new_counts) > 0
    return old_counts[used], new_counts[used]


def _histogram(values: Array, edges: Array) -> Array:
    present = values[~np.isnan(values)]
    bins = np.bincount(np.searchsorted(edges, present, side="left"), minlength=len(edges) + 1)
    return np.append(bins, len(values) - len(present))


def counted(old: Array, new: Array) -> tuple[Array, Array]:
    """Count categories; rare ones are counted together."""
    names, codes = np.unique(np.concatenate([old, new]), return_inverse=True)
    samples = codes[: len(old)], codes[len(old) :]
    old_counts, new_counts = (np.bincount(sample, minlength=len(names)) for sample in samples)
    ranked = np.argsort(-(old_counts + new_counts), kind="stable")[:MAX_NAMES]
    frequent = ranked[(old_counts + new_counts)[ranked] >= MIN_COUNT]
    rare = [int(counts.sum() - counts[frequent].sum()) for counts in (old_counts, new_counts)]
    if sum(rare):
        return np.append(old_counts[frequent], rare[0]), np.append(new_counts[frequent], rare[1])
    return old_counts[frequent], new_counts[frequent]


def psi(old: Array, new: Array) -> Distance:
    """Return the population stability index (PSI) of two histograms; an empty bin counts as half a row.

    If both samples have the same distribution, the index divided by (1/n + 1/m) has a chi-square distribution.
    """
    old_shares, new_shares = (np.maximum(counts, 0.5) for counts in (old, new))
    old_shares, new_shares = old_shares / old_shares.sum(), new_shares / new_shares.sum()
    index = float(np.sum((new_shares - old_shares) * np.log(new_shares / old_shares)))
    scale = 1 / max(1, old.sum()) + 1 / max(1, new.sum())
    return Distance("PSI", index, chi2_tail(index / scale, len(old) - 1))


def chi2(old: Array, new: Array) -> Distance:
    """Return Cramér's V (0: same shares, 1: disjoint) with the p-value of the chi-square test."""
    table = np.array([old, new], dtype=np.float64)
    total = table.sum()
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / max(1.0, total)
    if not expected.all():  # one of the samples is empty
        return Distance("chi-square", 0.0, 1.0)
    statistic = float(np.sum((table - expected) ** 2 / expected))
    return Distance("chi-square", math.sqrt(statistic / total), chi2_tail(statistic, len(old) - 1))


def ks(old: Array, new: Array) -> Distance:
    """Return the Kolmogorov-Smirnov statistic with its asymptotic p-value."""
    old, new = np.sort(old), np.sort(new)
    pooled = np.concatenate([old, new])
    old_cdf, new_cdf = (np.searchsorted(values, pooled, side="right") / len(values) for values in (old, new))
    statistic = float(np.abs(old_cdf - new_cdf).max())
    return Distance("KS", statistic, kolmogorov_tail(statistic * math.sqrt(len(old) * len(new) / len(pooled))))


def chi2_tail(value: float, degrees: int) -> float:
    """Return the survival function of the chi-square distribution, as a finite sum."""
    half, odd = value / 2, degrees % 2
    if half <= 0 or degrees < 1:
        return 1.0
    powers = np.arange(degrees // 2) + odd / 2
    gammas = np.array([math.lgamma(power + 1) for power in powers])
    terms = np.exp(powers * math.log(half) - half - gammas)
    return min(1.0, float(terms.sum()) + (math.erfc(math.sqrt(half)) if odd else 0.0))


def kolmogorov_tail(value: float) -> float:
    """Return the survival function of the Kolmogorov distribution; below 0.2 it is 1 to twelve digits."""
    if value < 0.2:
        return 1.0
    steps = np.arange(1, 101)
    return float(np.clip(2 * np.sum((-1.0) ** (steps - 1) * np.exp(-2 * (steps * value) ** 2)), 0, 1))
