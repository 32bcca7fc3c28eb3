"""Evaluation of several numbers for each row: the errors of each, and means in units of the training rows' spread."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows, row_count
from tiltyard.figures import Figure, bars
from tiltyard.modeling.evaluators.base import Evaluator
from tiltyard.modeling.evaluators.regression import METRICS as OF_ONE
from tiltyard.modeling.evaluators.regression import compared
from tiltyard.modeling.metrics import scores
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.base import Target

MAX_LISTED = 10  # best and worst predictions in a report
MAX_PLOTTED = 6  # targets with plots of their own: those with the smallest R²
MEASURES = {"rmse": scores.rmse, "mae": scores.mae, "r2": scores.r2}
OVERALL = {
    "scaled_rmse": (
        "Scaled RMSE (mean over the targets)",
        "the RMSE of each target in standard deviations of its training rows, averaged; 1 is as good as their mean",
    ),
    "scaled_mae": (
        "Scaled MAE (mean over the targets)",
        "the mean absolute error of each target relative to that of the training rows' median, averaged",
    ),
    "r2": ("R² (mean over the targets)", "the share of each target's variance that predictions explain, averaged"),
}


class SeveralNumbers(Evaluator):
    """The baseline is the best constant of each target."""

    baseline_title: ClassVar = "the mean of each target in the training rows (the median for absolute errors)"

    def __init__(self, target: Target) -> None:
        self.names = target.names
        self.titles = [part.display_name for part in target.parts]
        self.metrics = {
            **{name: self._overall(name) for name in OVERALL},
            **{
                f"{name}.{measure}": self._of_target(place, measure)
                for place, name in enumerate(self.names)
                for measure in MEASURES
            },
        }

    def _overall(self, name: str) -> Metric:
        """Return a mean over the targets."""
        (title, meaning), higher = OVERALL[name], name == "r2"
        bounds = (-math.inf, 1.0) if higher else (0.0, math.inf)
        return Metric(
            title,
            lambda truth, outputs, context: self.scores(truth, outputs, context)[name],
            higher_is_better=higher,
            meaning=meaning,
            bounds=bounds,
        )

    def _of_target(self, place: int, measure: str) -> Metric:
        """Return a metric of one target."""
        score, of_one = MEASURES[measure], OF_ONE[measure]
        return Metric(
            f"{of_one.title} of {self.titles[place]}",
            lambda truth, outputs, _: score(truth[:, place], outputs[:, place]),
            higher_is_better=of_one.higher_is_better,
            meaning=of_one.meaning,
            bounds=of_one.bounds,
        )

    def context(self, train: Array) -> dict[str, Any]:
        """Return standard deviation, and mean distance from the median, of each target in the training rows."""
        values = train.astype(np.float64)
        distances = np.abs(values - np.median(values, axis=0)).mean(axis=0)
        return {"deviations": _positive(values.std(axis=0)), "distances": _positive(distances)}

    def scales(self, context: Context) -> Array | None:
        """Return the standard deviation of each target."""
        return np.asarray(context["deviations"])

    def scores(self, truth: Array, outputs: Array, context: Context) -> dict[str, float]:
        """Return the value of every metric; each target is measured once."""
        by_target = {
            measure: np.array([score(truth[:, place], outputs[:, place]) for place in range(len(self.names))])
            for measure, score in MEASURES.items()
        }
        unknown = np.nan  # without the training rows, as for feedback in another clone
        overall = {
            "scaled_rmse": float(np.mean(by_target["rmse"] / context.get("deviations", unknown))),
            "scaled_mae": float(np.mean(by_target["mae"] / context.get("distances", unknown))),
            "r2": float(np.mean(by_target["r2"])),
        }
        return overall | {
            f"{name}.{measure}": float(values[place])
            for place, name in enumerate(self.names)
            for measure, values in by_target.items()
        }

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return the best constants for every row: the means of the training rows, or medians for absolute errors."""
        constants = np.median(train, axis=0) if metric.endswith("mae") else train.mean(axis=0)
        return np.tile(constants, (row_count(rows), 1))

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return a table by target, and the predictions with the largest and smallest errors in standard deviations."""
        errors = np.abs(predictions.outputs - predictions.truth) / _positive(predictions.truth.std(axis=0))
        order = np.argsort(-errors.ravel(), kind="stable")
        return {
            "per_target": self._by_target(predictions),
            "worst": [self._record(predictions, int(place)) for place in order[:MAX_LISTED]],
            "best": [self._record(predictions, int(place)) for place in order[::-1][:MAX_LISTED]],
        }

    def _by_target(self, predictions: Predictions) -> list[dict[str, Any]]:
        """Return a record for each target, with the baseline's RMSE."""
        return [
            {
                "target": title,
                **{
                    measure: score(predictions.truth[:, place], predictions.outputs[:, place])
                    for measure, score in MEASURES.items()
                },
                "baseline_rmse": scores.rmse(predictions.truth[:, place], predictions.baseline[:, place]),
            }
            for place, title in enumerate(self.titles)
        ]

    def _record(self, predictions: Predictions, flat: int) -> dict[str, Any]:
        """Return one prediction of one target."""
        row, place = divmod(flat, len(self.names))
        actual, predicted = float(predictions.truth[row, place]), float(predictions.outputs[row, place])
        return {
            "row": int(predictions.number[row]),
            "target": self.names[place],
            "actual": actual,
            "predicted": predicted,
            "error": predicted - actual,
        }

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Return prediction and residual of every row and target, and the metrics by target."""
        value = predictions.outputs.astype(np.float64)
        table = self._by_target(predictions)
        return {
            "residuals": {
                "target": self.names * len(value),
                "predicted": value.ravel().tolist(),
                "residual": (value - predictions.truth).ravel().tolist(),
            },
            "targets": {column: [record[column] for record in table] for column in table[0]},
        }

    def figures(self, predictions: Predictions) -> list[Figure]:
        """Return the explained share of each target, and for each the predicted by the actual value and residuals."""
        explained = {record["target"]: record["r2"] for record in self._by_target(predictions)}
        order = sorted(range(len(self.names)), key=lambda place: explained[self.titles[place]])[:MAX_PLOTTED]
        left_out = len(self.names) - len(order)
        note = f" The {left_out} targets with larger values have no plots." if left_out else ""
        shown = [figure for place in sorted(order) for figure in self._compared(predictions, place)]
        text = f"The share of the variance of each target that predictions explain.{note}"
        return [bars("R² by target", text, "R²", explained), *shown]

    def _compared(self, predictions: Predictions, place: int) -> list[Figure]:
        figures = compared(predictions.truth[:, place], predictions.outputs[:, place], self.titles[place])
        return [
            Figure(f"{figure.title}: {self.names[place]}", figure.text, figure.kind, figure.data) for figure in figures
        ]


def _positive(spread: Array) -> Array:
    """Return spreads to divide by: 1 for a target that is constant."""
    return np.where(spread > 0, spread, 1.0)
