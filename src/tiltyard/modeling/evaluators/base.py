"""The type of an evaluator: how predictions of one problem are measured, what they must beat, and what is shown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from tiltyard.arrays import Array, Rows
from tiltyard.figures import Figure
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.predictions import Predictions

TRUTH = "truth"  # the name under which a baseline finds the truth, where it is scored step by step as the model is


class Evaluator(ABC):
    """What is measured for a problem; plug-ins in evaluators/ have the name of the problem in problems/.

    `truth` and `outputs` are as the problem has them: outputs of the model, or what it makes of them for metrics.
    """

    metrics: ClassVar[dict[str, Metric]]
    baseline_title: ClassVar[str]  # what the baseline answers

    @abstractmethod
    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return the outputs of the simplest honest model for the metric: without features, or a past value."""

    def context(self, train: Array) -> dict[str, float]:
        """Return what metrics need of the training targets; by default nothing."""
        return {}

    def scores(self, truth: Array, outputs: Array, context: Context) -> dict[str, float]:
        """Return the value of every metric."""
        return {name: metric.score(truth, outputs, context) for name, metric in self.metrics.items()}

    @abstractmethod
    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return what the report holds beyond metrics, as JSON: tables, worst rows."""

    @abstractmethod
    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Return the data behind the plots of DVC, by name: columns that become a CSV file."""

    @abstractmethod
    def figures(self, predictions: Predictions) -> list[Figure]:
        """Return the figures of a report's page."""
