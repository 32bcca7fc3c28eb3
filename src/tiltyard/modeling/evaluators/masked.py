"""Evaluation of masked words: perplexity and accuracy, with trigram counts of words as the baseline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.modeling.evaluators.base import TRUTH
from tiltyard.modeling.evaluators.generation import METRICS, Generation
from tiltyard.modeling.metrics.base import Metric
from tiltyard.modeling.metrics.ngram import ORDER, Ngram
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.masked import SIGN

FIRST = 0x10000  # of the characters that stand for words, of which the trigrams are counted
UNSEEN = chr(FIRST)  # a word that no training text has

MASKED_METRICS: dict[str, Metric] = {
    "perplexity": replace(
        METRICS["perplexity"],
        title="Perplexity per masked word",
        meaning="the number of equally probable words that would be as uncertain as the model's prediction",
    ),
    "bits": replace(
        METRICS["bits"],
        title="Bits per masked word",
        meaning="the negative binary logarithm of a masked word's probability, on average",
    ),
    "accuracy": replace(
        METRICS["accuracy"],
        title="Accuracy (masked words)",
        meaning="the share of masked words whose most probable prediction is correct",
    ),
}


class Masked(Generation):
    """The baseline is a trigram model of words; it reads the two words before a mask, as far as they are not masked."""

    metrics = MASKED_METRICS
    baseline_title: ClassVar = "the masked word by its counts after the two words before it (trigram model)"

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return the trigram model's values for the metrics, in the same form as those of the model."""
        letters: dict[str, str] = {}
        for text in train.tolist():
            for word in text.decode().replace(SIGN, "").split():
                letters.setdefault(word, chr(FIRST + 1 + len(letters)))
        ngram = Ngram("".join(letters[word] for word in text.decode().replace(SIGN, "").split()) for text in train)
        return np.array([_judged(ngram, text.decode().split(), letters) for text in rows[TRUTH].tolist()])

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return the texts with the highest perplexity."""
        worst = super().details(predictions)["worst"]
        return {"worst": [{**row, "text": text} for row, text in zip(worst, _texts(worst, predictions), strict=True)]}


def _judged(ngram: Ngram, words: list[str], letters: dict[str, str]) -> tuple[float, float, float]:
    """Return the sum of negative log probabilities, the correct words and all words that are masked in a text."""
    loss, correct, count = 0.0, 0, 0
    for place, word in enumerate(words):
        if not word.startswith(SIGN):
            continue
        context = ""
        for before in reversed(words[max(0, place + 1 - ORDER) : place]):
            if before.startswith(SIGN):
                break
            context = letters.get(before, UNSEEN) + context
        letter = letters.get(word.removeprefix(SIGN), UNSEEN)
        loss -= float(np.log(ngram.probability(context, letter)))
        correct += ngram.most_frequent_next(context) == letter
        count += 1
    return loss, float(correct), float(count)


def _texts(worst: list[dict[str, Any]], predictions: Predictions) -> list[str]:
    """Return the texts of some rows."""
    places = {int(number): place for place, number in enumerate(predictions.number)}
    return [predictions.truth[places[row["row"]]].decode() for row in worst]
