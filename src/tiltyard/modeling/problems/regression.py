"""Predicting a number from features."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Fitted, Rows, count
from tiltyard.figures import Figure, points, spread
from tiltyard.modeling.columns.base import scale
from tiltyard.modeling.metrics import by_problem
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.base import FittedEncoder, Problem, Target

LISTED = 10  # rows of each end in a report


class Regression(Problem):
    """One linear output; the baseline is the best constant."""

    losses: ClassVar = {"linear": ("mse", "mae", "huber")}
    targets: ClassVar = "number"
    baseline_title: ClassVar = "the mean of the training rows; their median where absolute errors decide"
    metrics: ClassVar = by_problem.REGRESSION

    def fit(self, target: Target, truth: Array) -> Fitted:
        """Learn the scale of a number; of a logarithm also the range of answers, as its inverse soon overflows."""
        values = np.log1p(truth) if target.log else truth
        fitted = dict(zip(("mean", "std"), scale(values), strict=True))
        return fitted | ({"log": [float(values.min()), float(values.max()) + 1]} if target.log else {})

    def units(self, target: Target, output: str, encoder: FittedEncoder) -> int:
        """One."""
        return 1

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """The best constant of the training rows, for every row: absolute errors are least from the median."""
        return np.full((count(rows), 1), np.median(train) if metric == "mae" else train.mean())

    def context(self, train: Array) -> dict[str, float]:
        """Nothing is needed."""
        return {}

    def answer(self, outputs: Array, classes: list[str]) -> list[Any]:
        """One number an instance."""
        values: list[Any] = outputs[:, 0].tolist()
        return values

    def purpose(self, target: Target) -> str:
        """A number."""
        return f"the number `{target.column}`{_unit(target)}"

    def json_schema(self, target: Target) -> dict[str, Any]:
        """A number."""
        return {"type": "number", "description": f"{target.column} {target.unit}".strip()}

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """The rows with the largest and with the smallest errors."""
        order = np.argsort(-np.abs(predictions.outputs[:, 0] - predictions.truth), kind="stable")
        return {"worst": _rows(predictions, order[:LISTED]), "best": _rows(predictions, order[::-1][:LISTED])}

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Prediction and residual of every row."""
        value = predictions.outputs[:, 0].astype(np.float64)
        residual = value - predictions.truth
        return {"residuals": {"predicted": value.tolist(), "residual": residual.tolist()}}

    def exhibits(self, predictions: Predictions) -> list[Figure]:
        """Predicted over actual, residuals, and how they are spread."""
        return compared(predictions.truth, predictions.outputs[:, 0], predictions.target)


def compared(truth: Array, value: Array, target: str) -> list[Figure]:
    """Show numbers beside what they should have been."""
    value, truth = value.astype(np.float64), truth.astype(np.float64)
    missed = value - truth
    return [
        points(
            "Predicted and actual",
            "A point a test row; on the line the model is right.",
            (f"Predicted {target}", f"Actual {target}"),
            {"": (value, truth)},
            diagonal=True,
        ),
        points(
            "Residuals",
            "A model that has learned everything leaves a shapeless cloud around zero.",
            (f"Predicted {target}", "Predicted minus actual"),
            {"": (value, missed)},
            level=0,
        ),
        spread(
            "Errors",
            f"Predicted minus actual, by test rows; {np.mean(missed):.3g} on the average.",
            {"errors": missed},
        ),
    ]


def _unit(target: Target) -> str:
    return f" ({target.unit})" if target.unit else ""


def _rows(predictions: Predictions, places: Array) -> list[dict[str, Any]]:
    values = predictions.outputs[:, 0].astype(np.float64)
    return [
        {
            "row": int(predictions.number[place]),
            "actual": float(predictions.truth[place]),
            "predicted": float(values[place]),
            "error": float(values[place] - predictions.truth[place]),
        }
        for place in places
    ]
