"""The two ends of a forecast: between which quantiles of what validation rows missed by, a share of values lies."""

from __future__ import annotations

import math

import numpy as np

from tiltyard.arrays import Array


def residual_quantiles(missed: Array, share: float) -> tuple[Array, Array]:
    """Return what to add for the lower and for the upper end, from (rows, steps) of truth minus forecast.

    Of n rows the k-th smallest and largest are taken so that a new row like them lies between with at least that
    chance, whatever the errors are spread like: the split-conformal rule. Rows of a series are only nearly alike, so
    the report says how many test values did.
    """
    rows = len(missed)
    outside = math.floor((1 - share) / 2 * (rows + 1))  # on either side; 0 if there are too few rows to be that sure
    ordered = np.sort(missed, axis=0)
    return ordered[max(outside, 1) - 1], ordered[rows - max(outside, 1)]
