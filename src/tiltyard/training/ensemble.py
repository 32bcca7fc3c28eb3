"""Ensembles: the weighted mean of several models, in one graph, so serving needs no special case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tiltyard.arrays import Array

if TYPE_CHECKING:
    import keras

STEPS, RATE = 2000, 0.1


def join(bodies: list[keras.Model], shares: list[float], names: Sequence[str] = ()) -> keras.Model:
    """Build a model whose output is the weighted mean of the outputs of others; `names` are those of its layers."""
    import keras

    names = names or [f"member_{place}" for place, _ in enumerate(bodies, start=1)]
    features = keras.Input(bodies[0].input_shape[1:], name="features")
    outputs = []
    for body, share, name in zip(bodies, shares, names, strict=True):
        member = keras.Model(body.input, body.output, name=name)
        outputs.append(keras.layers.Rescaling(share, dtype="float32")(member(features)))
    return keras.Model(features, keras.layers.Add(dtype="float32")(outputs))


def learn_shares(outputs: Array, targets: Array, blend: Literal["mean", "weighted"]) -> list[float]:
    """Return the weight of each member: equal, or optimal on validation rows. Weights are positive and sum to 1.

    `outputs` are (members, rows, units). Exponentiated gradients keep the shares where they must be.
    """
    shares = np.full(len(outputs), 1 / len(outputs))
    for _ in range(STEPS if blend == "weighted" else 0):
        slope = _slope(np.tensordot(shares, outputs, 1), outputs, targets)
        shares = shares * np.exp(-RATE * (slope - slope.min()))
        shares /= shares.sum()
    return [round(float(share), 6) for share in shares]


def without_small(shares: list[float], smallest: float) -> list[float]:
    """Return the shares without those below the smallest, unless all are; the others are scaled to a sum of 1."""
    kept = np.where(np.array(shares) < smallest, 0.0, shares)
    return [round(float(share), 6) for share in kept / kept.sum()] if kept.any() else shares


def _slope(mean: Array, outputs: Array, targets: Array) -> Array:
    """Return the gradient by weight: of the squared error for numbers, of the log loss for labels."""
    if targets.dtype.kind == "f":
        return np.asarray((2 * (mean - _shaped(targets)) * outputs).mean(axis=(1, 2)))
    mean_probabilities = _label_probabilities(mean[None], targets)[0]
    member_probabilities = _label_probabilities(outputs, targets)
    return np.asarray(-(member_probabilities / np.maximum(mean_probabilities, 1e-7)).mean(axis=1))


def correlation(outputs: Array, targets: Array) -> dict[str, Any]:
    """Return the correlation of the members' errors: the lower, the more an ensemble gains."""
    is_number = targets.dtype.kind == "f"
    errors = outputs - _shaped(targets) if is_number else 1 - _label_probabilities(outputs, targets)
    with np.errstate(invalid="ignore"):  # equal errors in all rows have no correlation
        table = np.nan_to_num(np.corrcoef(errors.reshape(len(errors), -1).astype(np.float64)))
    pairs = table[np.triu_indices(len(table), 1)]
    return {"mean": round(float(pairs.mean()), 4), "table": np.round(table, 4).tolist()}


def _shaped(targets: Array) -> Array:
    """Return targets in the shape of the output units: one, or one per step ahead."""
    return targets.reshape(len(targets), -1)


def _label_probabilities(outputs: Array, targets: Array) -> Array:
    """Return the probability that each member gives to each row's label."""
    if outputs.shape[-1] == 1:
        return np.where(targets == 1, outputs[..., 0], 1 - outputs[..., 0])
    return np.asarray(outputs[:, np.arange(len(targets)), targets])
