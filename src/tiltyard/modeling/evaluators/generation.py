"""Evaluation of text generation: perplexity and accuracy, with trigram counts as the baseline."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.figures import Figure, histogram
from tiltyard.modeling.evaluators.base import TRUTH, Evaluator
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.ngram import Ngram
from tiltyard.modeling.metrics.predictions import Predictions

MAX_WORST = 10


def _bits(_: Array, judged: Array, __: Context) -> float:
    return float(judged[:, 0].sum() / judged[:, 2].sum() / np.log(2))


def _perplexity(_: Array, judged: Array, __: Context) -> float:
    return float(np.exp(judged[:, 0].sum() / judged[:, 2].sum()))


def _accuracy(_: Array, judged: Array, __: Context) -> float:
    return float(judged[:, 1].sum() / judged[:, 2].sum())


METRICS: dict[str, Metric] = {
    "perplexity": Metric(
        "Perplexity per character",
        _perplexity,
        higher_is_better=False,
        meaning="the number of equally probable characters that would be as uncertain as the model's prediction",
        bounds=(1, math.inf),
    ),
    "bits": Metric(
        "Bits per character",
        _bits,
        higher_is_better=False,
        meaning="the negative binary logarithm of the next character's probability, on average",
        bounds=(0, math.inf),
    ),
    "accuracy": Metric(
        "Accuracy (next character)",
        _accuracy,
        higher_is_better=True,
        meaning="the share of characters whose most probable prediction is correct",
        bounds=(0, 1),
    ),
}


class Generation(Evaluator):
    """The baseline is a trigram model."""

    metrics = METRICS
    baseline_title: ClassVar = "the next character by its counts after the two before it (trigram model)"

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return the trigram model's values for the metrics, in the same form as those of the model."""
        (texts,) = [values["text"] for name, values in rows.items() if name != TRUTH]
        return Ngram(map(str, train)).judged(texts, rows[TRUTH])

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return the windows with the highest perplexity."""
        perplexities = _perplexities(predictions.outputs)
        worst = np.argsort(-perplexities, kind="stable")[:MAX_WORST]
        rows = zip(predictions.number[worst], perplexities[worst], predictions.truth[worst], strict=True)
        return {"worst": [{"row": int(n), "perplexity": float(p), "text": str(text)} for n, p, text in rows]}

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Return the perplexity of every window, in order."""
        model, baseline = _perplexities(predictions.outputs), _perplexities(predictions.baseline)
        return {
            "perplexity": {"row": predictions.number.tolist(), "model": model.tolist(), "baseline": baseline.tolist()}
        }

    def figures(self, predictions: Predictions) -> list[Figure]:
        """Return a histogram of the perplexity of windows."""
        samples = {"model": _perplexities(predictions.outputs), "baseline": _perplexities(predictions.baseline)}
        return [
            histogram(
                "Perplexity of a window",
                "The perplexity is the number of equally probable characters of the same uncertainty.",
                samples,
            )
        ]


def _perplexities(judged: Array) -> Array:
    perplexities: Array = np.exp(judged[:, 0] / np.maximum(judged[:, 2], 1))  # masked words may all be unknown
    return perplexities
