"""Evaluation of reconstruction: errors, principal components as the baseline, rows with the largest errors.

The truth of every row is 0, the error of a perfect reconstruction; the last column of outputs is the error of each row.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.figures import Figure, histogram, points
from tiltyard.modeling.evaluators.base import Evaluator
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.metrics.principal_components import PrincipalComponents

MAX_LISTED = 10  # best and worst rows in a report
MIN_ERROR = 1e-10  # of a row, which gives 100 decibels
FEATURES = "features"  # name of the standardised features in the rows of the baseline


def mean_error(_: Array, outputs: Array, __: Context) -> float:
    """Return the mean squared error."""
    return float(outputs[:, -1].mean(dtype=np.float64))


def mean_decibels(_: Array, outputs: Array, __: Context) -> float:
    """Return the mean of the peak signal-to-noise ratio of each row."""
    return float(decibels(outputs[:, -1]).mean())


def decibels(errors: Array) -> Array:
    """Return the peak signal-to-noise ratio for mean squared errors, relative to 1."""
    return np.asarray(-10 * np.log10(np.maximum(errors.astype(np.float64), MIN_ERROR)))


METRICS: dict[str, Metric] = {
    "mse": Metric(
        "Mean squared error (MSE) of the reconstruction",
        mean_error,
        higher_is_better=False,
        meaning="the mean squared difference of the features: of pixels as shares of the brightest one, of numbers in "
        "standard deviations",
        bounds=(0, math.inf),
    ),
    "psnr": Metric(
        "Peak signal-to-noise ratio (PSNR, dB)",
        mean_decibels,
        higher_is_better=True,
        meaning="the mean squared error of a row relative to the brightest pixel or to one standard deviation, in "
        "decibels, on average",
    ),
}


class Reconstruction(Evaluator):
    """The baseline is PCA with a code of the same size."""

    metrics = METRICS
    baseline_title: ClassVar = "principal components (PCA) of the training rows, with a code of the same size"

    def __init__(self, code: int = 1) -> None:
        self.code = code

    def with_code(self, numbers: int) -> Evaluator:
        """Return the evaluator for codes of so many numbers."""
        return type(self)(numbers)

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return the error of each row; `train` and `rows` hold standardised features."""
        features = rows[FEATURES]
        reconstructed = PrincipalComponents.of(train, self.code).reconstruct(features)
        return errors_of_rows(features, reconstructed)

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return the rows with the largest and with the smallest errors."""
        order = np.argsort(-predictions.outputs[:, -1], kind="stable")
        return {"worst": _rows(predictions, order[:MAX_LISTED]), "best": _rows(predictions, order[::-1][:MAX_LISTED])}

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Return the error of every row, of the model and of the baseline."""
        model, baseline = (outputs[:, -1].tolist() for outputs in (predictions.outputs, predictions.baseline))
        return {"errors": {"row": predictions.number.tolist(), "model": model, "baseline": baseline}}

    def figures(self, predictions: Predictions) -> list[Figure]:
        """Return the histogram of the errors, and a comparison with the baseline by row."""
        model, baseline = (outputs[:, -1].astype(np.float64) for outputs in (predictions.outputs, predictions.baseline))
        better = float(np.mean(model < baseline))
        return [
            histogram(
                "Errors of the reconstruction",
                f"The mean squared error of each test row; the model's is {model.mean():.3g} on average, that of PCA "
                f"{baseline.mean():.3g} (dashed).",
                {"model": model, "PCA": baseline},
            ),
            points(
                "Errors of model and PCA",
                f"Each point is a test row; below the line the model is better, which holds for {better:.0%}.",
                ("Error of PCA", "Error of the model"),
                {"": (baseline, model)},
                diagonal=True,
            ),
        ]


def errors_of_rows(features: Array, reconstructed: Array) -> Array:
    """Return the mean squared error of each row, in one column."""
    return np.asarray(np.square(features - reconstructed, dtype=np.float64).mean(axis=1, keepdims=True))


def _rows(predictions: Predictions, indices: Array) -> list[dict[str, Any]]:
    model, baseline = predictions.outputs[:, -1].astype(np.float64), predictions.baseline[:, -1].astype(np.float64)
    return [
        {"row": int(predictions.number[index]), "error": float(model[index]), "PCA": float(baseline[index])}
        for index in indices
    ]
