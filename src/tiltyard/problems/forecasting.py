"""Predicting the next value of a series from its last ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tiltyard import metrics
from tiltyard.column import Array, Rows
from tiltyard.predictions import Predictions
from tiltyard.problem import Context, Metric
from tiltyard.problems.regression import Regression

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _mase(truth: Array, outputs: Array, context: Context) -> float:
    return metrics.mae(truth, outputs[:, 0]) / context["naive_mae"]


class Forecasting(Regression):
    """One linear output; the baseline is persistence: tomorrow is like today, or like the day a season before."""

    baseline_title: ClassVar = "the last value seen, or that a season before"
    metrics: ClassVar = {
        "rmse": Regression.metrics["rmse"],
        "mae": Regression.metrics["mae"],
        "mase": Metric("Error over that of the naive forecast in training", _mase, higher_is_better=False),
    }

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """The last value of each window; of seasonal series, windows end a season before."""
        (windows,) = rows.values()
        return windows[:, -1:].astype(np.float64)

    def context(self, train: Array) -> dict[str, float]:
        """The naive forecast's mean absolute error over the training targets, which follow each other in time."""
        naive = float(np.mean(np.abs(np.diff(train)))) if len(train) > 1 else 0.0
        return {"naive_mae": naive or 1.0}

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Truth, forecast and baseline in time, and the residuals."""
        series = {
            "row": predictions.number.tolist(),
            "actual": predictions.truth.astype(np.float64).tolist(),
            "forecast": predictions.outputs[:, 0].astype(np.float64).tolist(),
            "baseline": predictions.baseline[:, 0].astype(np.float64).tolist(),
        }
        return {"forecast": series, **super().plots(predictions)}

    def pictures(self, predictions: Predictions) -> dict[str, Figure]:
        """The end of the series with its forecast, and the residuals."""
        from tiltyard import pictures

        value, baseline = predictions.outputs[:, 0], predictions.baseline[:, 0]
        drawn = pictures.forecast(predictions.truth, value, baseline, predictions.target)
        return {"forecast": drawn, **super().pictures(predictions)}
