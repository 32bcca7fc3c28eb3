"""Evaluation of generative models: bounds of the log-likelihood of test rows, and distances of samples from them.

The truth of a row is its label, or 0. Outputs are, side by side: what the family measures of each test row, the
features of a sample, the features of the row itself, and the score of `condense`. Sample i stands beside row i only so
that both are drawn together in a bootstrap.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.figures import Figure, histogram
from tiltyard.modeling.evaluators.base import Evaluator
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.predictions import Predictions

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


class Sampling(Evaluator):
    """The baseline is a mixture of independent pixels."""

    baseline_title: ClassVar = "a mixture of independent pixels, fitted to the training rows"

    def __init__(self, measures: tuple[str, ...] = ()) -> None:
        self.measures = measures
        self.metrics = {
            **{name: _mean_of(MEASURES[name], place) for place, name in enumerate(measures)},
            "frechet": Metric(
                "Fréchet distance of samples",
                self._frechet,
                higher_is_better=False,
                meaning="the squared distance of mean and covariance of features of samples from those of test rows",
                bounds=(0, math.inf),
            ),
        }

    def with_measures(self, measures: tuple[str, ...]) -> Evaluator:
        """Return the evaluator of a family that measures these of each row."""
        return type(self)(measures)

    def features(self, outputs: Array) -> tuple[Array, Array]:
        """Return the features of samples and of rows."""
        first = len(self.measures)
        size = (outputs.shape[1] - 1 - first) // 2
        return outputs[:, first : first + size], outputs[:, first + size : first + 2 * size]

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

    def _frechet(self, _: Array, outputs: Array, __: Context) -> float:
        return frechet(*self.features(outputs))


def _mean_of(metric: Metric, place: int) -> Metric:
    """Return a metric that is the mean of a column."""

    def mean(_: Array, outputs: Array, __: Context) -> float:
        return float(outputs[:, place].mean(dtype=np.float64))

    return Metric(metric.title, mean, metric.higher_is_better, metric.meaning, metric.bounds)


def frechet(one: Array, other: Array) -> float:
    """Return the squared Fréchet distance of two normal distributions with the means and covariances of rows."""
    means = one.mean(axis=0, dtype=np.float64) - other.mean(axis=0, dtype=np.float64)
    first, second = (np.atleast_2d(np.cov(rows, rowvar=False, dtype=np.float64)) for rows in (one, other))
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    between = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    return max(0.0, float(means @ means + np.trace(first) + np.trace(second) - 2 * between))
