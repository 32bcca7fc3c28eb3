"""Predicting a number from features."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tiltyard import metrics
from tiltyard.column import Array, Rows, count
from tiltyard.problem import Metric, Problem


class Regression(Problem):
    """One linear output; the baseline is the mean of the training rows."""

    losses: ClassVar = {"linear": ("mse", "mae", "huber")}
    targets: ClassVar = "number"
    metrics: ClassVar = {
        "rmse": Metric("Root mean squared error", lambda t, o, _: metrics.rmse(t, o[:, 0]), higher_is_better=False),
        "mae": Metric("Mean absolute error", lambda t, o, _: metrics.mae(t, o[:, 0]), higher_is_better=False),
        "r2": Metric("Variance explained", lambda t, o, _: metrics.r2(t, o[:, 0]), higher_is_better=True),
    }

    def units(self, classes: int, output: str) -> int:
        """One."""
        return 1

    def baseline(self, train: Array, rows: Rows) -> Array:
        """The mean of the training rows, for every row."""
        return np.full((count(rows), 1), train.mean())

    def context(self, train: Array) -> dict[str, float]:
        """Nothing is needed."""
        return {}

    def answer(self, outputs: Array, classes: list[str]) -> list[Any]:
        """One number an instance."""
        return [float(value) for value in outputs[:, 0]]
