"""Evaluation of forecasting: errors overall and by step, with persistence as the baseline."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array, Rows
from tiltyard.figures import Figure, lines
from tiltyard.modeling.evaluators import regression
from tiltyard.modeling.evaluators.base import Evaluator
from tiltyard.modeling.evaluators.regression import Regression, compared
from tiltyard.modeling.metrics import scores
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.predictions import Predictions

MAX_SHOWN = 200  # steps in a plot
LEAST = 1e-200  # smallest naive error to divide by; a smaller one may give infinity


def ahead(outputs: Array) -> Array:
    """Return the forecasts without their intervals: (rows, steps)."""
    return outputs[:, 0] if outputs.ndim == 3 else outputs


def _of_all(score: Callable[[Array, Array], float]) -> Callable[[Array, Array, Context], float]:
    """Return a score function that treats all steps alike."""
    return lambda truth, outputs, _: score(truth.ravel(), ahead(outputs).ravel())


def _mase(truth: Array, outputs: Array, context: Context) -> float:
    return scores.mae(truth.ravel(), ahead(outputs).ravel()) / float(context["naive_mae"])


METRICS: dict[str, Metric] = {
    "rmse": dataclasses.replace(regression.METRICS["rmse"], score=_of_all(scores.rmse)),
    "mae": dataclasses.replace(regression.METRICS["mae"], score=_of_all(scores.mae)),
    "mase": Metric(
        "MASE (error over that of the naive forecast in training)",
        _mase,
        higher_is_better=False,
        meaning="the mean absolute error divided by that of the naive forecast; below 1 it is better than naive",
        bounds=(0, math.inf),
    ),
}


class Forecasting(Regression):
    """The baseline is the naive forecast: the last value, or the value one season before."""

    metrics = METRICS
    baseline_title: ClassVar = "the last value, or the value one season before (naive forecast)"

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return the naive forecasts, which `rows` holds."""
        (naive,) = rows.values()
        return naive.astype(np.float64)

    def context(self, train: Array) -> dict[str, Any]:
        """Return the mean absolute error of the naive forecast on the training targets, which are consecutive."""
        naive = float(np.mean(np.abs(np.diff(train, axis=0)))) if len(train) > 1 else 0.0
        return {"naive_mae": naive if naive > LEAST else 1.0}

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return the largest and smallest errors, and metrics by step if there are several steps or intervals."""
        details, steps = super().details(_flattened(predictions)), _steps(predictions)
        if len(steps) == 1 and predictions.outputs.ndim == 2:
            return details
        for name in ("worst", "best"):
            details[name] = [_row_and_step(record, len(steps)) for record in details[name]]
        return {**details, "by_step": steps}

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Return truth, forecast and baseline of the first step, and the residuals of all steps."""
        series = {
            "row": predictions.number,
            "actual": predictions.truth.reshape(len(predictions.truth), -1)[:, 0].astype(np.float64),
            "forecast": ahead(predictions.outputs)[:, 0].astype(np.float64),
            "baseline": predictions.baseline[:, 0].astype(np.float64),
        }
        plots = {"forecast": {name: values.tolist() for name, values in series.items()}}
        if predictions.truth.ndim > 1:
            records = _steps(predictions)
            plots["steps"] = {name: [step[name] for step in records] for name in records[0]}
        return {**plots, **super().plots(_flattened(predictions))}

    def figures(self, predictions: Predictions) -> list[Figure]:
        """Return the end of the series with its forecast, the error by step, and the residuals."""
        flat = _flattened(predictions)
        step_figures = [_by_step(_steps(predictions))] if predictions.truth.ndim > 1 else []
        residuals = compared(flat.truth, flat.outputs[:, 0], predictions.target)
        return [_forecast_figure(predictions), *step_figures, *residuals]


def _forecast_figure(predictions: Predictions) -> Figure:
    """Return a plot of truth, one-step forecast and baseline."""
    truth = predictions.truth.reshape(len(predictions.truth), -1)[-MAX_SHOWN:, 0]
    value, rows = ahead(predictions.outputs)[-MAX_SHOWN:, 0], np.arange(len(predictions.truth))[-MAX_SHOWN:]
    band = {}
    if predictions.outputs.ndim == 3:
        low, high = predictions.outputs[-MAX_SHOWN:, 1, 0], predictions.outputs[-MAX_SHOWN:, 2, 0]
        band = {"band": {"x": rows, "low": low.astype(np.float64), "high": high.astype(np.float64)}}
    return lines(
        "Forecast",
        f"The last {len(rows)} test rows: true value, forecast and baseline.",
        ("Test row", predictions.target),
        {
            "actual": {"x": rows, "y": truth.astype(np.float64)},
            "forecast": {"x": rows, "y": value.astype(np.float64)},
            "baseline": {"x": rows, "y": predictions.baseline[-MAX_SHOWN:, 0].astype(np.float64), "dashed": True},
        },
        **band,
    )


def _by_step(steps: list[dict[str, Any]]) -> Figure:
    """Return a plot of the error by forecast step."""
    numbers = [step["step"] for step in steps]
    return lines(
        "Error by step",
        "Error by forecast step, of model and baseline.",
        ("Steps ahead", "Root mean squared error"),
        {
            "forecast": {"x": numbers, "y": [step["rmse"] for step in steps]},
            "baseline": {"x": numbers, "y": [step["baseline"] for step in steps], "dashed": True},
        },
        zero=True,
    )


def _row_and_step(record: dict[str, Any], steps: int) -> dict[str, Any]:
    """Split the numbers of `_flat` into row and step."""
    row, step = divmod(record.pop("row"), steps)
    return {"row": row, "step": step + 1, **record}


def _flattened(predictions: Predictions) -> Predictions:
    """Return one row for each step of each row, numbered consecutively."""
    steps = ahead(predictions.outputs).shape[1]
    return dataclasses.replace(
        predictions,
        truth=predictions.truth.ravel(),
        outputs=ahead(predictions.outputs).reshape(-1, 1),
        baseline=predictions.baseline.reshape(-1, 1),
        number=(predictions.number[:, None] * steps + np.arange(steps)).ravel(),
    )


def _steps(predictions: Predictions) -> list[dict[str, Any]]:
    """Return metrics by step: of model and baseline, and the coverage of the interval."""
    value, truth = ahead(predictions.outputs), predictions.truth.reshape(len(predictions.truth), -1)
    rows = []
    for step in range(value.shape[1]):
        actual = truth[:, step]
        row = {"step": step + 1, "rmse": scores.rmse(actual, value[:, step])}
        row["baseline"] = scores.rmse(actual, predictions.baseline[:, step])
        if predictions.outputs.ndim == 3:
            low, high = predictions.outputs[:, 1, step], predictions.outputs[:, 2, step]
            row["coverage"] = float(np.mean((low <= actual) & (actual <= high)))
        rows.append(row)
    return rows


def training_context(evaluator: Evaluator, prepared: Path, truth: Array) -> Context:
    """Return the context of metrics; `truth` is that of the training rows, `prepared` the folder with all parts.

    Training rows of several series alternate between these, so `prepare` has recorded the error of the naive forecast.
    """
    context = evaluator.context(truth)
    naive = files.read_json(prepared / "split.json").get("naive_mae")
    return {**context, "naive_mae": naive} if naive and naive > LEAST and "naive_mae" in context else context
