"""Ensembles: several bodies whose answers are one, in one graph, so that serving needs nothing new."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tiltyard.arrays import Array

if TYPE_CHECKING:
    import keras

STEPS, RATE = 2000, 0.1


def join(bodies: list[keras.Model], shares: list[float]) -> keras.Model:
    """Return a body that answers the weighted mean of others' answers."""
    import keras

    features = keras.Input(bodies[0].input_shape[1:], name="features")
    answers = []
    for place, (body, share) in enumerate(zip(bodies, shares, strict=True), start=1):
        member = keras.Model(body.input, body.output, name=f"member_{place}")
        answers.append(keras.layers.Rescaling(share, dtype="float32")(member(features)))
    return keras.Model(features, keras.layers.Add(dtype="float32")(answers))


def learn_shares(outputs: Array, targets: Array, blend: Literal["mean", "weighted"]) -> list[float]:
    """Return each member's share: the same, or what is best on validation rows; they are positive and sum to 1.

    `outputs` are (members, rows, units). Exponentiated gradients keep the shares where they must be.
    """
    shares = np.full(len(outputs), 1 / len(outputs))
    for _ in range(STEPS if blend == "weighted" else 0):
        slope = _slope(np.tensordot(shares, outputs, 1), outputs, targets)
        shares = shares * np.exp(-RATE * (slope - slope.min()))
        shares /= shares.sum()
    return [round(float(share), 6) for share in shares]


def _slope(mean: Array, outputs: Array, targets: Array) -> Array:
    """Return the gradient by share: of the squared error for numbers, of the log loss for labels."""
    if targets.dtype.kind == "f":
        return np.asarray((2 * (mean - _shaped(targets)) * outputs).mean(axis=(1, 2)))
    given, all_given = _given(mean[None], targets)[0], _given(outputs, targets)
    return np.asarray(-(all_given / np.maximum(given, 1e-7)).mean(axis=1))


def correlation(outputs: Array, targets: Array) -> dict[str, Any]:
    """Return how alike the members' errors are: the less, the more is won by joining them."""
    number = targets.dtype.kind == "f"
    errors = outputs - _shaped(targets) if number else 1 - _given(outputs, targets)
    table = np.asarray(np.corrcoef(errors.reshape(len(errors), -1).astype(np.float64)))
    others = table[np.triu_indices(len(table), 1)]
    return {"mean": round(float(others.mean()), 4), "table": np.round(table, 4).tolist()}


def _shaped(targets: Array) -> Array:
    """Return numbers as the units that answer them: one, or one a step ahead."""
    return targets.reshape(len(targets), -1)


def _given(outputs: Array, targets: Array) -> Array:
    """Return the probability of each row's label by each member."""
    if outputs.shape[-1] == 1:
        return np.where(targets == 1, outputs[..., 0], 1 - outputs[..., 0])
    return np.asarray(outputs[:, np.arange(len(targets)), targets])
