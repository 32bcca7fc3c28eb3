"""Linear regression: by least squares in closed form, or by gradient descent on all rows at once.

The family `perceptron` is the same model as Keras trains it, Dense(1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from tiltyard.arrays import Array
from tiltyard.modeling.models._solved import Part, Solution, SolvedModel, Steps

if TYPE_CHECKING:
    import keras


class Linear(SolvedModel):
    """A weight for each feature, and a bias."""

    modalities: ClassVar = ("table", "image", "series")

    family: Literal["linear"]
    solver: Literal["least_squares", "gradient_descent"] = Field(
        "least_squares",
        description="gradient_descent takes train.epochs steps from zero at train.learning_rate, on z-scores of "
        "features and target.",
    )
    output: Literal["linear"] = Field("linear", description="Activation of the last layer.")

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build: flatten."""
        from keras import layers

        return layers.Flatten()(features)

    def solve(self, train: Part, validation: Part, steps: Steps) -> Solution:
        """Solve on z-scores, and convert the weights back."""
        inputs, targets = (ZScores.of(values) for values in train)
        scaled, later = ((inputs.apply(rows), targets.apply(truth)) for rows, truth in (train, validation))
        if self.solver == "least_squares":
            weights, how = least_squares(*scaled), "in closed form, by least squares on the training rows"
            history = {"loss": [cost(*scaled, weights)], "val_loss": [cost(*later, weights)]}
        else:
            weights, history = descend(scaled, later, steps)
            how = f"by {steps.count} steps of gradient descent on all training rows at a rate of {steps.rate:g}"
        slopes = weights[1:] * targets.deviation / inputs.deviation[:, None]
        bias = targets.mean + weights[0] * targets.deviation - inputs.mean @ slopes
        return Solution(slopes, bias, history, {"solved": how})


@dataclass(frozen=True)
class ZScores:
    """Mean and deviation (ddof=1) of each column of some rows; a constant column has the deviation 1."""

    mean: Array
    deviation: Array

    @classmethod
    def of(cls, values: Array) -> ZScores:
        """Compute both."""
        deviation = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])
        return cls(values.mean(axis=0), np.where(deviation > 0, deviation, 1.0))

    def apply(self, values: Array) -> Array:
        """Return z-scores."""
        return np.asarray((values - self.mean) / self.deviation)


def least_squares(inputs: Array, targets: Array) -> Array:
    """Return bias and weights (1 + inputs, units) with the smallest sum of squared errors; of several, the shortest."""
    return np.asarray(np.linalg.lstsq(_with_one(inputs), targets)[0])


def descend(train: Part, validation: Part, steps: Steps) -> tuple[Array, dict[str, list[float]]]:
    """Return bias and weights after the last step, and the costs before each step; all weights begin as zero."""
    rows, targets = _with_one(train[0]), train[1]
    weights = np.zeros((rows.shape[1], targets.shape[1]))
    history: dict[str, list[float]] = {"loss": [], "val_loss": []}
    with np.errstate(over="ignore", invalid="ignore"):  # training refuses weights that are not finite
        for _ in range(steps.count):
            history["loss"].append(cost(*train, weights))
            history["val_loss"].append(cost(*validation, weights))
            weights = weights - steps.rate * 2 / len(rows) * rows.T @ (rows @ weights - targets)
    return weights, history


def cost(inputs: Array, targets: Array, weights: Array) -> float:
    """Return the mean squared error."""
    return float(np.square(_with_one(inputs) @ weights - targets).mean())


@dataclass(frozen=True)
class SumsOfSquares:
    """The sums of squares of a regression on some rows: total, of errors, and explained.

    Total = errors + explained for least squares with a bias, on the rows that it was fitted to; then R² is the square
    of the correlation of prediction and truth.
    """

    total: float
    errors: float
    explained: float
    correlation: float

    @classmethod
    def of(cls, truth: Array, predicted: Array) -> SumsOfSquares:
        """Compute them."""
        mean = truth.mean()
        total, explained = float(np.square(truth - mean).sum()), float(np.square(predicted - mean).sum())
        product = float(((truth - mean) * (predicted - predicted.mean())).sum())
        spread = float(np.square(predicted - predicted.mean()).sum())
        correlation = product / np.sqrt(total * spread) if total > 0 and spread > 0 else 0.0
        return cls(total, float(np.square(truth - predicted).sum()), explained, float(correlation))

    @property
    def r2(self) -> float:
        """The share of the variance that predictions explain."""
        return 1 - self.errors / self.total if self.total > 0 else 0.0


def _with_one(inputs: Array) -> Array:
    return np.column_stack([np.ones(len(inputs)), inputs])
