"""The Evaluator base class: metrics, baseline, details and plots of a kind of problem."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from tiltyard.arrays import Array, Rows
from tiltyard.figures import Figure
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.base import Target

TRUTH = "truth"  # name of the truth in the rows of a baseline that is evaluated step by step


class Evaluator(ABC):
    """The evaluation of a problem; each plug-in in evaluators/ has the name of its problem.

    `truth` and `outputs` are those of the problem: outputs of the model, or the result of `condense`.
    """

    metrics: dict[str, Metric]
    baseline_title: ClassVar[str]  # description of the baseline

    @abstractmethod
    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return the outputs of the baseline for rows, from the training targets: a constant or a past value."""

    def with_code(self, numbers: int) -> Evaluator:
        """Return the evaluator for a model whose code has so many numbers; by default the same."""
        return self

    def with_measures(self, measures: tuple[str, ...], *, conditional: bool) -> Evaluator:
        """Return the evaluator of a generative model, which measures these of each row; by default the same."""
        return self

    def with_clusters(self, clusters: int, *, is_k_means: bool) -> Evaluator:
        """Return the evaluator for a model of so many clusters; by default the same."""
        return self

    def context(self, train: Array) -> dict[str, Any]:
        """Return the context that metrics need from the training targets; empty by default."""
        return {}

    def of(self, target: Target) -> Evaluator:
        """Return the evaluator of a target; another one if the target has several columns."""
        return self

    def scales(self, context: Context) -> Array | None:
        """Return by what the errors of several numbers are divided; None for other targets."""
        return None

    def errors_of_rows(self, truth: Array, outputs: Array) -> Array | None:
        """Return the error of each picture by its objects or pixels; None for other targets."""
        return None

    def recalls(self, truth: Array, outputs: Array, labels: int) -> Array:
        """Return the recall of each label of objects or pixels; NaN for labels that are not there."""
        raise NotImplementedError

    def scores(self, truth: Array, outputs: Array, context: Context) -> dict[str, float]:
        """Return the value of every metric."""
        return {name: metric.score(truth, outputs, context) for name, metric in self.metrics.items()}

    def scores_of_rows(self, truth: Array, outputs: Array, context: Context) -> Callable[[Array], dict[str, float]]:
        """Return a function from row indices to the value of every metric on these rows; it is called many times."""
        return lambda rows: self.scores(truth[rows], outputs[rows], context)

    @abstractmethod
    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return further parts of the report as JSON: tables, worst rows."""

    @abstractmethod
    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Return the data for plots of DVC by name: columns that are written to a CSV file."""

    @abstractmethod
    def figures(self, predictions: Predictions) -> list[Figure]:
        """Return the figures of a report's page."""
