"""Platt scaling: turn the margins of a network trained by a hinge loss into probabilities.

A margin says on which side of the boundary a row lies, and how far from it; no loss of margins makes its sigmoid a
probability. Slope and offset are fitted to validation rows, and become part of the output layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tiltyard.arrays import Array

if TYPE_CHECKING:
    import keras

    from tiltyard.preparation.array_file import Features

CLIP = 1e-7  # of probabilities: those of 32 bits may be 0 or 1
STEPS = 100
RIDGE = 1e-9  # added to the curvature, which is 0 if all margins are equal


def calibrate(body: keras.Model, validation: tuple[Features, Array]) -> dict[str, float]:
    """Put the slope and the offset that fit validation rows into the output layer; return both."""
    from tiltyard.training import network

    features, truth = validation
    probability = np.clip(network.outputs(body, features)[:, 0].astype(np.float64), CLIP, 1 - CLIP)
    slope, offset = fit(np.log(probability / (1 - probability)), truth == 1)
    output = body.get_layer("output")
    kernel, bias = output.get_weights()
    output.set_weights([slope * kernel, slope * bias + offset])
    return {"slope": slope, "offset": offset}


def fit(margins: Array, positive: Array) -> tuple[float, float]:
    """Return the slope and the offset of a logistic regression of labels on margins, by Newton's method.

    Labels are Platt's: (n + 1) / (n + 2) and 1 / (n + 2), so that margins which separate the rows do not end in
    certainty.
    """
    counts = int(positive.sum()), int((~positive).sum())
    targets = np.where(positive, (counts[0] + 1) / (counts[0] + 2), 1 / (counts[1] + 2))
    inputs = np.column_stack([margins, np.ones(len(margins))])
    weights = np.zeros(2)
    value = _log_loss(inputs @ weights, targets)
    for _ in range(STEPS):
        shares = 1 / (1 + np.exp(-inputs @ weights))
        curvature = (inputs * (shares * (1 - shares))[:, None]).T @ inputs + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, inputs.T @ (shares - targets))
        while (lower := _log_loss(inputs @ (weights - step), targets)) > value and np.abs(step).max() > RIDGE:
            step = step / 2  # Newton's step may be too long far from the minimum
        if lower >= value:
            break
        weights, value = weights - step, lower
    return float(weights[0]), float(weights[1])


def _log_loss(scores: Array, targets: Array) -> float:
    return float(np.sum(np.logaddexp(0, scores) - targets * scores))
