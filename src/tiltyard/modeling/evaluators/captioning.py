"""Evaluation of captions: exact matches, BLEU-4 and words at their place; the most frequent caption as the baseline."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.figures import Figure, bars, histogram
from tiltyard.modeling.evaluators.translation import Translation
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.captioning import ORDERS, SHARED, judged

MAX_WRONG_WORDS = 12  # in the plot


def exact_match(_: Array, records: Array, __: Context) -> float:
    """Return the share of right captions."""
    return float(records["exact"].mean())


def bleu(_: Array, records: Array, __: Context) -> float:
    """Return BLEU-4 of all captions together, without smoothing (Papineni et al., 2002).

    It is the geometric mean of the shares of n-grams that the true caption has, too, times a penalty for captions that
    are too short.
    """
    words, length = float(records["words"].sum()), float(records["length"].sum())
    said = [float(np.maximum(records["words"] - order + 1, 0).sum()) for order in ORDERS]
    found = [float(records[name].sum()) for name in SHARED]
    if not all(found):
        return 0.0
    brevity = min(0.0, 1 - length / words)
    return float(np.exp(brevity + np.mean([np.log(part / total) for part, total in zip(found, said, strict=True)])))


def token_accuracy(_: Array, records: Array, __: Context) -> float:
    """Return the share of words at their place, of the longer of the two captions."""
    return float(records["correct"].sum() / max(np.maximum(records["length"], records["words"]).sum(), 1.0))


METRICS: dict[str, Metric] = {
    "exact": Metric(
        "Exact match (whole captions)",
        exact_match,
        higher_is_better=True,
        meaning="the share of pictures whose caption has the words of the true caption, and no others",
        bounds=(0, 1),
    ),
    "bleu": Metric(
        "BLEU-4",
        bleu,
        higher_is_better=True,
        meaning="the geometric mean of the shares of words, pairs, triples and fours of words that the true captions "
        "have, too, times a penalty if captions are shorter than these",
        bounds=(0, 1),
    ),
    "token_accuracy": Metric(
        "Token accuracy (words at their place)",
        token_accuracy,
        higher_is_better=True,
        meaning="the share of words that are the same at the same place, of the longer of both captions",
        bounds=(0, 1),
    ),
}


class Captioning(Translation):
    """Captions are judged as translations are, by words."""

    metrics = METRICS
    baseline_title: ClassVar = "the most frequent caption of the training rows"

    def judge(self, predicted: list[str], truth: Array) -> Array:
        """Compare captions by words."""
        return judged(predicted, truth, "words")

    def figures(self, predictions: Predictions) -> list[Figure]:
        """Return a histogram of the edits, and the words that captions lack most often."""
        pairs = (("model", predictions.outputs), ("baseline", predictions.baseline))
        samples = {name: outputs["edits"] for name, outputs in pairs}
        text = "Words to insert, delete or replace, from the predicted to the true caption."
        return [histogram("Edits", text, samples), _missed_words(predictions)]


def _missed_words(predictions: Predictions) -> Figure:
    """Return for the words of true captions how often the predicted one lacks them."""
    said, lacked = dict[str, int](), dict[str, int]()
    for actual, predicted in zip(predictions.truth.tolist(), predictions.outputs["text"].tolist(), strict=True):
        for word in {*actual.split()}:
            said[word] = said.get(word, 0) + 1
            lacked[word] = lacked.get(word, 0) + (word not in predicted.split())
    shares = {word: lacked[word] / said[word] for word in said}
    worst = sorted(shares, key=lambda word: (-shares[word], word))[:MAX_WRONG_WORDS]
    text = "The share of true captions with a word whose predicted caption lacks it; the words that are lacked most."
    return bars("Lacked words", text, "share", {word: shares[word] for word in worst})
