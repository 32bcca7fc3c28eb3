"""Evaluation of generative models: bounds of the log-likelihood of test rows, and distances of samples from them.

The truth of a row is its label, or 0. Outputs are, side by side: what the family measures of each test row, the
features of a sample, the features of the row itself, the labels that the classifier of features gives to both, and the
score of `condense`. Sample i stands beside row i only so that both are drawn together in a bootstrap, and because it
is of the class of row i, if the model is conditional.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.figures import Figure, histogram
from tiltyard.modeling.evaluators.base import Evaluator
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.metrics.sample_quality import Pairs

BASELINE = "baseline"  # name of the outputs of the baseline, which are computed from pixels, in its rows
MAX_LISTED = 10  # rows with the lowest and the highest measure in a report
MEASURES: dict[str, Metric] = {  # of each test row, that a family may have; `score` is set by place
    "elbo": Metric(
        "Lower bound of the log-likelihood (ELBO, nats)",
        lambda *_: math.nan,
        higher_is_better=True,
        meaning="the mean bound of the log-likelihood of a test row, whose pixels are drawn as 0 or 1 once",
    ),
    "reconstruction": Metric(
        "Reconstruction term of the bound (nats)",
        lambda *_: math.nan,
        higher_is_better=True,
        meaning="the mean log-likelihood of a test row given a code from its posterior",
    ),
    "kl": Metric(
        "Divergence from the prior (KL, nats)",
        lambda *_: math.nan,
        higher_is_better=False,
        meaning="the mean Kullback-Leibler divergence of a code's posterior from the prior",
        bounds=(0, math.inf),
    ),
}


# title, whether higher is better, meaning, bounds
DISTANCES: dict[str, tuple[str, bool, str, tuple[float, float]]] = {
    "frechet": (
        "Fréchet distance of samples",
        False,
        "the squared distance of mean and covariance of features of samples from those of test rows",
        (0, math.inf),
    ),
    "kernel": (
        "Kernel distance of samples",
        False,
        "the squared maximum mean discrepancy of features of samples and test rows, with a cubic kernel; about 0 for "
        "samples that are like the rows",
        (-math.inf, math.inf),
    ),
    "precision": ("Precision of samples", True, "the share of samples among the neighbours of test rows", (0, 1)),
    "recall": ("Recall of samples", True, "the share of test rows among the neighbours of samples", (0, 1)),
    "density": (
        "Density of samples",
        True,
        "in how many neighbourhoods of test rows a sample is, as a share of the neighbours that define them",
        (0, math.inf),
    ),
    "coverage": ("Coverage by samples", True, "the share of test rows with a sample among their neighbours", (0, 1)),
    "class_distance": (
        "Distance of the shares of classes",
        False,
        "the share of samples that would have to be of another class to have the classes of the test rows",
        (0, 1),
    ),
    "agreement": ("Samples of the class asked for", True, "the share of them, as the classifier sees it", (0, 1)),
}


class Sampling(Evaluator):
    """The baseline is a mixture of independent pixels."""

    baseline_title: ClassVar = "a mixture of independent pixels, fitted to the training rows"

    def __init__(self, measures: tuple[str, ...] = (), *, conditional: bool = False) -> None:
        self.measures, self.conditional = measures, conditional
        names = [name for name in DISTANCES if conditional or name != "agreement"]
        self.metrics = {
            **{name: _mean_of(MEASURES[name], place) for place, name in enumerate(measures)},
            **{name: self._distance(name) for name in names},
        }

    def with_measures(self, measures: tuple[str, ...], *, conditional: bool) -> Evaluator:
        """Return the evaluator of a family that measures these of each row."""
        return type(self)(measures, conditional=conditional)

    def pairs(self, truth: Array, outputs: Array) -> Pairs:
        """Return samples and rows by their features and labels."""
        first = len(self.measures)
        size = (outputs.shape[1] - 3 - first) // 2
        features = outputs[:, first : first + size], outputs[:, first + size : first + 2 * size]
        labels = outputs[:, -3].astype(np.int64), outputs[:, -2].astype(np.int64)
        return Pairs(*features, *labels, truth if self.conditional else None)

    def scores(self, truth: Array, outputs: Array, context: Context) -> dict[str, float]:
        """Return the value of every metric."""
        means = {name: float(outputs[:, place].mean()) for place, name in enumerate(self.measures)}
        return {**means, **self.pairs(truth, outputs).scores()}

    def scores_of_rows(self, truth: Array, outputs: Array, context: Context) -> Callable[[Array], dict[str, float]]:
        """Return a function from row indices to every metric; neighbours are found once."""
        of_draws = self.pairs(truth, outputs).scores_of_draws()

        def scores(rows: Array) -> dict[str, float]:
            means = {name: float(outputs[rows, place].mean()) for place, name in enumerate(self.measures)}
            return {**means, **of_draws(rows)}

        return scores

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return the outputs of the baseline, which evaluation/sampling.py computes."""
        return rows[BASELINE]

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return the rows with the lowest and the highest of the first measure."""
        if not self.measures:
            return {}
        order = np.argsort(predictions.outputs[:, 0], kind="stable")
        best = order[::-1][:MAX_LISTED]
        return {"worst": self._rows(predictions, order[:MAX_LISTED]), "best": self._rows(predictions, best)}

    def _rows(self, predictions: Predictions, indices: Array) -> list[dict[str, Any]]:
        names = {name: predictions.outputs[:, place] for place, name in enumerate(self.measures)}
        return [
            {"row": int(predictions.number[index]), **{name: float(values[index]) for name, values in names.items()}}
            for index in indices
        ]

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Return the measures of every row."""
        columns = {name: predictions.outputs[:, place].tolist() for place, name in enumerate(self.measures)}
        return {"measures": {"row": predictions.number.tolist(), **columns}} if columns else {}

    def figures(self, predictions: Predictions) -> list[Figure]:
        """Return the histogram of the first measure, of model and baseline."""
        if not self.measures:
            return []
        model, baseline = (outputs[:, 0].astype(np.float64) for outputs in (predictions.outputs, predictions.baseline))
        title = self.metrics[self.measures[0]].title
        text = f"Of each test row; the model's is {model.mean():.4g} on average, that of the baseline "
        return [histogram(title, f"{text}{baseline.mean():.4g} (dashed).", {"model": model, "baseline": baseline})]

    def _distance(self, name: str) -> Metric:
        """Return a metric of samples beside rows."""
        title, higher, meaning, bounds = DISTANCES[name]

        def value(truth: Array, outputs: Array, _: Context) -> float:
            pairs = self.pairs(truth, outputs)
            return float(getattr(pairs, name)) if hasattr(pairs, name) else pairs.scores()[name]

        return Metric(title, value, higher, meaning, bounds)


def _mean_of(metric: Metric, place: int) -> Metric:
    """Return a metric that is the mean of a column."""

    def mean(_: Array, outputs: Array, __: Context) -> float:
        return float(outputs[:, place].mean(dtype=np.float64))

    return Metric(metric.title, mean, metric.higher_is_better, metric.meaning, metric.bounds)
