"""A linear model of the standardised features: logistic or ridge regression; for series also of their changes."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.references.base import ABSENT, Reference

ITERATIONS, TOLERANCE = 200, 1e-3
SMALLEST_SCALE = 1e-12  # of a change; that of a constant series is not divided by


class Linear(Reference):
    """Scores are `derived(features) @ weights + bias`; a forecast adds the last value."""

    title: ClassVar = "a linear model"
    modalities: ClassVar[tuple[str, ...]] = ("table", "series", "image")
    max_cells: ClassVar = 4_000_000
    max_width: ClassVar = 2048

    weights: Array
    bias: Array
    scale: Array  # of a change from one step to the next, for each series

    def derived(self, features: Any, ops: Any = np) -> Any:
        """Return the features scaled as the network scales them, one row each, for series with their changes.

        A relative network subtracts the last value itself. Of standardised values alone, a penalised linear model would
        have to learn such small differences as differences of large weights.
        """
        mean, std = (np.array(part, dtype=np.float32) for part in self.subject.encoder.widened_scaling())
        flat = _flat((features - mean) / std, ops)
        if self.subject.modality != "series" or features.shape[1] < 2:
            return flat
        return ops.concatenate([flat, _flat(self.changes(features), ops)], axis=1)

    def changes(self, features: Any) -> Any:
        """Return the changes from each step to the next, in units of their standard deviation."""
        return (features[:, 1:] - features[:, :-1]) / self.scale

    def fit(self, features: Array, truth: Array) -> None:
        """Fit it to training rows."""
        if self.subject.modality == "series" and features.shape[1] > 1:
            spread = np.diff(features.astype(np.float64), axis=1).std(axis=(0, 1))
            self.scale = np.where(spread > SMALLEST_SCALE, spread, 1.0).astype(np.float32)
        targets = self.subject.targets(truth)
        self.weights, self.bias = fit_linear(
            self.derived(features).astype(np.float64),
            targets if targets.dtype.kind != "f" else targets - self.last(features),
            self.subject.units,
            self.subject.weights(truth),
        )

    def scores(self, features: Array) -> Array:
        """Return a logit for each label, or standardised numbers."""
        return np.asarray(self.derived(features) @ self.weights + self.bias + self.last(features))


def _flat(values: Any, ops: Any) -> Any:
    return ops.reshape(values, (-1, math.prod(values.shape[1:])))


def fit_linear(
    features: Any, targets: Array, units: int, weights: Array | None, strength: float = 1.0
) -> tuple[Array, Array]:
    """Return weights and bias, one column for each unit; targets are labels if they are whole numbers or flags.

    `strength` is the inverse of the penalty, C of scikit-learn's logistic regression.
    """
    from sklearn.linear_model import LogisticRegression, Ridge

    if targets.dtype.kind == "f":
        ridge = Ridge(alpha=1 / strength).fit(features, targets)
        return np.atleast_2d(ridge.coef_).T, np.atleast_1d(ridge.intercept_)
    if targets.dtype.kind == "b":
        return _one_against_rest(
            [fit_linear(features, flags.astype(np.int64), 2, weights, strength) for flags in targets.T]
        )
    present = np.unique(targets)
    matrix, bias = np.zeros((features.shape[1], units)), np.full(units, ABSENT)
    if len(present) == 1:
        bias[present] = 0.0
        return matrix, bias
    model = LogisticRegression(C=strength, max_iter=ITERATIONS, tol=TOLERANCE).fit(features, targets, weights)
    coefficients, intercept = model.coef_, model.intercept_
    if len(present) == 2:  # scikit-learn has one logit for two labels
        coefficients, intercept = (np.concatenate([-part / 2, part / 2]) for part in (coefficients, intercept))
    matrix[:, present], bias[present] = coefficients.T, intercept
    return matrix, bias


def _one_against_rest(models: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Return weights and bias of the logit of each label, from a model of its absence and presence for each."""
    return (
        np.stack([weights[:, 1] - weights[:, 0] for weights, _ in models], axis=1),
        np.array([bias[1] - bias[0] for _, bias in models]),
    )
