"""The decision threshold of two labels, one of which is rare: chosen on validation rows, saved with the model."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array

RARE = 0.1  # share of the training rows below which the most probable label is hardly ever the rare one
BELOW = 1e-6  # under the lowest probability, if every row is predicted as the rare label
FEWEST = 3  # validation rows of the rare label


def rare_label(truth: Array, classes: int) -> int | None:
    """Return the index of the rare label of training rows; None unless there are two and one is rare."""
    if classes != 2:
        return None  # the truth may be numbers, texts or forecasts of several steps
    counts = np.bincount(truth.astype(np.int64), minlength=2)
    return int(counts.argmin()) if 0 < counts.min() < RARE * len(truth) else None


def choose(truth: Array, shares: Array, rare: int) -> float | None:
    """Return the probability of the second label from which it is predicted, with the largest F1 of the rare label.

    `truth` and `shares`, the probabilities of both labels, are of validation rows. None if these are too few.
    """
    members = truth == rare
    if members.sum() < FEWEST:
        return None
    score = shares[:, rare].astype(np.float64)
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))  # of each group of equal scores
    hits = np.cumsum(members[order])[last]
    best = int((2 * hits / (last + 1 + members.sum())).argmax())
    below = ordered[last[best] + 1] if last[best] + 1 < len(ordered) else ordered[-1] - BELOW
    threshold = float(ordered[last[best]] + below) / 2
    return threshold if rare == 1 else 1 - threshold
