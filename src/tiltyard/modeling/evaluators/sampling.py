"""Evaluation of generative models: bounds of the log-likelihood of test rows, and distances of samples from them.

The truth of a row is its label, or 0. Outputs are, side by side: what the family measures of each test row, whether
samples and rows are among each other's neighbours, whether a sample is of the class of the row (if the model is
conditional), the features of a sample, the features of the row itself, and the score of `condense`. Otherwise sample i
stands beside row i only so that both are drawn together in a bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.figures import Figure, bars, histogram
from tiltyard.modeling.distances.frechet_distance import frechet_distance
from tiltyard.modeling.evaluators.base import Evaluator
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.predictions import Predictions

BASELINE = "baseline"  # name of the outputs of the baseline, which are computed from pixels, in its rows
MAX_LISTED = 10  # rows with the lowest and the highest measure in a report
MEASURES: dict[str, Metric] = {  # of each test row, that a family may have; `score` is set by place
    "log_likelihood": Metric(
        "Log-likelihood (nats)",
        lambda *_: math.nan,
        higher_is_better=True,
        meaning="the mean logarithm of the probability of a test row, whose pixels are drawn as 0 or 1 once; its "
        "partition function is an estimate",
    ),
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
_SAMPLES, _ROWS = "the share of samples", "the share of test rows"
NEIGHBOURS: dict[str, Metric] = {  # by features, in the order of metrics/neighbour_manifolds.py
    "precision": Metric(
        "Precision of samples",
        lambda *_: math.nan,
        higher_is_better=True,
        meaning=f"{_SAMPLES} that are within the neighbourhood of a test row: how real they look",
        bounds=(0, 1),
    ),
    "recall": Metric(
        "Recall of samples",
        lambda *_: math.nan,
        higher_is_better=True,
        meaning=f"{_ROWS} that are within the neighbourhood of a sample: how varied samples are",
        bounds=(0, 1),
    ),
    "density": Metric(
        "Density of samples",
        lambda *_: math.nan,
        higher_is_better=True,
        meaning="in how many neighbourhoods of test rows a sample is, divided by the neighbours; about 1 for rows",
        bounds=(0, math.inf),
    ),
    "coverage": Metric(
        "Coverage of test rows",
        lambda *_: math.nan,
        higher_is_better=True,
        meaning=f"{_ROWS} that have a sample within their neighbourhood",
        bounds=(0, 1),
    ),
}


AGREEMENT = {
    "agreement": Metric(
        "Samples of the class asked for",
        lambda *_: math.nan,
        higher_is_better=True,
        meaning=f"{_SAMPLES} that the classifier of features takes for the class asked for; it errs, too",
        bounds=(0, 1),
    )
}
BIAS_DRAWS, BIAS_SEED = 20, 0  # resamples by which the bias of a resampled Fréchet distance is estimated


class Sampling(Evaluator):
    """The baseline is a mixture of independent pixels."""

    baseline_title: ClassVar = "a mixture of independent pixels, fitted to the training rows"

    def __init__(self, measures: tuple[str, ...] = (), *, conditional: bool = False) -> None:
        self.measures = measures
        compared = {**NEIGHBOURS, **(AGREEMENT if conditional else {})}
        self.of_rows = {**{name: MEASURES[name] for name in measures}, **compared}  # means of columns, in their order
        self.metrics = {
            **{name: _mean_of(metric, place) for place, (name, metric) in enumerate(self.of_rows.items())},
            "frechet": Metric(
                "Fréchet distance of samples",
                self._frechet,
                higher_is_better=False,
                meaning="the squared distance of mean and covariance of features of samples from those of test rows",
                bounds=(0, math.inf),
            ),
        }

    def with_measures(self, measures: tuple[str, ...], *, conditional: bool) -> Evaluator:
        """Return the evaluator of a family that measures these of each row."""
        return type(self)(measures, conditional=conditional)

    def scores_of_rows(self, truth: Array, outputs: Array, context: Context) -> Callable[[Array], dict[str, float]]:
        """Return a function from row indices to every metric; the bias of resampling is subtracted from the distance.

        A resample has fewer different rows, which vary less: its Fréchet distance is larger on average.
        """
        count, generator = len(outputs), np.random.default_rng(BIAS_SEED)
        draws = [self._frechet(truth, outputs[generator.integers(0, count, count)], context) for _ in range(BIAS_DRAWS)]
        bias = float(np.mean(draws)) - self._frechet(truth, outputs, context)

        def scores(rows: Array) -> dict[str, float]:
            found = self.scores(truth[rows], outputs[rows], context)
            return {**found, "frechet": found["frechet"] - bias}

        return scores

    def features(self, outputs: Array) -> tuple[Array, Array]:
        """Return the features of samples and of rows."""
        first = len(self.of_rows)
        size = (outputs.shape[1] - 1 - first) // 2
        return outputs[:, first : first + size], outputs[:, first + size : first + 2 * size]

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return the outputs of the baseline, which evaluation/sampling.py computes."""
        return rows[BASELINE]

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return the rows with the lowest and the highest of the first measure, or else with the largest scores."""
        values = predictions.outputs[:, 0] if self.measures else -predictions.outputs[:, -1]
        order = np.argsort(values, kind="stable")
        best = order[::-1][:MAX_LISTED]
        return {"worst": self._rows(predictions, order[:MAX_LISTED]), "best": self._rows(predictions, best)}

    def _rows(self, predictions: Predictions, indices: Array) -> list[dict[str, Any]]:
        names = {name: predictions.outputs[:, place] for place, name in enumerate(self.measures)}
        names |= {"score": predictions.outputs[:, -1]}
        return [
            {"row": int(predictions.number[index]), **{name: float(values[index]) for name, values in names.items()}}
            for index in indices
        ]

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Return the measures of every row."""
        columns = {name: predictions.outputs[:, place].tolist() for place, name in enumerate(self.measures)}
        return {"measures": {"row": predictions.number.tolist(), **columns}} if columns else {}

    def figures(self, predictions: Predictions) -> list[Figure]:
        """Return how samples compare with test rows, and the histogram of the first measure."""
        compared = {
            f"{name} of {whose}": float(outputs[:, place].mean(dtype=np.float64))
            for place, name in enumerate(self.of_rows)
            if name in ("precision", "recall", "coverage")
            for whose, outputs in (("the model", predictions.outputs), ("the baseline", predictions.baseline))
        }
        text = "Shares of samples that look like test rows, and of test rows that samples look like."
        return [bars("Samples beside test rows", text, "share", compared), *self._histogram(predictions)]

    def _histogram(self, predictions: Predictions) -> list[Figure]:
        """Return the histogram of the first measure, of model and baseline; none without measures."""
        if not self.measures:
            return []
        model, baseline = (outputs[:, 0].astype(np.float64) for outputs in (predictions.outputs, predictions.baseline))
        title = self.metrics[self.measures[0]].title
        text = f"Of each test row; the model's is {model.mean():.4g} on average, that of the baseline "
        return [histogram(title, f"{text}{baseline.mean():.4g} (dashed).", {"model": model, "baseline": baseline})]

    def _frechet(self, _: Array, outputs: Array, __: Context) -> float:
        return frechet_distance(*self.features(outputs))


def _mean_of(metric: Metric, place: int) -> Metric:
    """Return a metric that is the mean of a column."""

    def mean(_: Array, outputs: Array, __: Context) -> float:
        return float(outputs[:, place].mean(dtype=np.float64))

    return Metric(metric.title, mean, metric.higher_is_better, metric.meaning, metric.bounds)
