"""Evaluation of regression: errors, the best constant as the baseline, residuals."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows, row_count
from tiltyard.figures import Figure, histogram, points
from tiltyard.modeling.evaluators.base import Evaluator
from tiltyard.modeling.metrics import scores
from tiltyard.modeling.metrics.base import Metric
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.base import Target

MAX_LISTED = 10  # best and worst rows in a report


METRICS: dict[str, Metric] = {
    "rmse": Metric(
        "Root mean squared error (RMSE)",
        lambda t, o, _: scores.rmse(t, o[:, 0]),
        higher_is_better=False,
        meaning="the typical error of a prediction; large errors weigh more",
        bounds=(0, math.inf),
    ),
    "mae": Metric(
        "Mean absolute error (MAE)",
        lambda t, o, _: scores.mae(t, o[:, 0]),
        higher_is_better=False,
        meaning="the mean absolute error of predictions",
        bounds=(0, math.inf),
    ),
    "r2": Metric(
        "R² (variance explained)",
        lambda t, o, _: scores.r2(t, o[:, 0]),
        higher_is_better=True,
        meaning="the share of the variance that predictions explain",
        bounds=(-math.inf, 1),
    ),
}


class Regression(Evaluator):
    """The baseline is the best constant."""

    metrics = METRICS
    baseline_title: ClassVar = "the mean of the training rows (their median for absolute errors)"

    def of(self, target: Target) -> Evaluator:
        """Return the evaluator of several numbers if the target has several columns."""
        from tiltyard.modeling.evaluators._several_numbers import SeveralNumbers

        return SeveralNumbers(target) if target.columns else self

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return the best constant for every row: the mean of the training rows, or the median for absolute errors."""
        return np.full((row_count(rows), 1), np.median(train) if metric == "mae" else train.mean())

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return the rows with the largest and with the smallest errors."""
        order = np.argsort(-np.abs(predictions.outputs[:, 0] - predictions.truth), kind="stable")
        return {"worst": _rows(predictions, order[:MAX_LISTED]), "best": _rows(predictions, order[::-1][:MAX_LISTED])}

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Return prediction and residual of every row."""
        value = predictions.outputs[:, 0].astype(np.float64)
        residual = value - predictions.truth
        return {"residuals": {"predicted": value.tolist(), "residual": residual.tolist()}}

    def figures(self, predictions: Predictions) -> list[Figure]:
        """Return plots: predicted by actual value, residuals, and their histogram."""
        return compared(predictions.truth, predictions.outputs[:, 0], predictions.target)


def compared(truth: Array, value: Array, target: str) -> list[Figure]:
    """Return rows with prediction and truth."""
    value, truth = value.astype(np.float64), truth.astype(np.float64)
    errors = value - truth
    return [
        points(
            "Predicted and actual",
            "Each point is a test row; on the line the prediction is exact.",
            (f"Predicted {target}", f"Actual {target}"),
            {"": (value, truth)},
            diagonal=True,
        ),
        points(
            "Residuals",
            "No structure around zero means that the model has learned what the features can explain.",
            (f"Predicted {target}", "Predicted minus actual"),
            {"": (value, errors)},
            level=0,
        ),
        histogram(
            "Errors",
            f"Predicted minus actual, by test rows; {np.mean(errors):.3g} on average.",
            {"errors": errors},
        ),
    ]


def _rows(predictions: Predictions, indices: Array) -> list[dict[str, Any]]:
    values = predictions.outputs[:, 0].astype(np.float64)
    return [
        {
            "row": int(predictions.number[index]),
            "actual": float(predictions.truth[index]),
            "predicted": float(values[index]),
            "error": float(values[index] - predictions.truth[index]),
        }
        for index in indices
    ]
