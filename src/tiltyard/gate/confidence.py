"""The confidence of intervals, corrected for several looks at the same test rows."""

from __future__ import annotations


def corrected_confidence(confidence: float, uses: int) -> float:
    """Return the confidence after the test rows have judged `uses` other versions.

    The error rate of use n is 1/n² of that of the first, so all uses together have at most 1.65 times that rate.
    """
    return 1 - (1 - confidence) / (uses + 1) ** 2


def confidence_among(confidence: float, comparisons: int) -> float:
    """Return the confidence of each of several comparisons that share one error rate (Bonferroni)."""
    return 1 - (1 - confidence) / comparisons
