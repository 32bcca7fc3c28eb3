"""Distances between two samples for drift and skew: PSI, Kolmogorov-Smirnov, chi-square, with p-values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tiltyard.arrays import Array

BINS = 10  # deciles of the old sample
NAMES = 50  # categories counted separately; all others are counted together
RARE = 10  # rows in both samples below which a category is counted with the others


@dataclass(frozen=True)
class Distance:
    """The distance of two samples by one measure, and its p-value."""

    measure: str
    value: float
    chance: float


def drift_distances(old: Array, new: Array) -> list[Distance]:
    """Measure numbers by PSI and KS, categories by PSI and chi-square; missing values count in PSI only."""
    if old.dtype.kind == "f":
        known, fresh = old[~np.isnan(old)], new[~np.isnan(new)]
        return [psi(*binned(old, new)), *([ks(known, fresh)] if len(known) and len(fresh) else [])]
    counts = counted(old, new)
    return [psi(*counts), chi2(*counts)]


def binned(old: Array, new: Array) -> tuple[Array, Array]:
    """Count numbers by decile of the old sample; missing values get a bin of their own."""
    known = old[~np.isnan(old)]
    edges = np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if len(known) else np.empty(0)
    one, other = (_histogram(values, edges) for values in (old, new))
    used = (one + other) > 0
    return one[used], other[used]


def _histogram(values: Array, edges: Array) -> Array:
    known = values[~np.isnan(values)]
    inside = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
    return np.append(inside, len(values) - len(known))


def counted(old: Array, new: Array) -> tuple[Array, Array]:
    """Count categories; rare ones together."""
    names, codes = np.unique(np.concatenate([old, new]), return_inverse=True)
    one, other = (np.bincount(part, minlength=len(names)) for part in (codes[: len(old)], codes[len(old) :]))
    ranked = np.argsort(-(one + other), kind="stable")[:NAMES]
    kept = ranked[(one + other)[ranked] >= RARE]
    rest = [int(counts.sum() - counts[kept].sum()) for counts in (one, other)]
    if sum(rest):
        return np.append(one[kept], rest[0]), np.append(other[kept], rest[1])
    return one[kept], other[kept]


def psi(old: Array, new: Array) -> Distance:
    """Return the population stability index (PSI) of two histograms; an empty bin counts as half a row.

    If both come from one distribution, the index over (1/n + 1/m) is chi-square distributed.
    """
    one, other = (np.maximum(counts, 0.5) for counts in (old, new))
    one, other = one / one.sum(), other / other.sum()
    index = float(np.sum((other - one) * np.log(other / one)))
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
    both = np.concatenate([old, new])
    one, other = (np.searchsorted(values, both, side="right") / len(values) for values in (old, new))
    apart = float(np.abs(one - other).max())
    return Distance("KS", apart, kolmogorov_tail(apart * math.sqrt(len(old) * len(new) / len(both))))


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
