"""Captioning: a short text about a picture, word by word.

Metrics use for each row: the predicted caption, its correctness and edit distance, how many words are right at their
place, and the n-grams that it shares with the true caption, from which BLEU is computed.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Fitted, Rows, row_count, take_rows
from tiltyard.errors import DataError, RequestError
from tiltyard.modeling import deadline
from tiltyard.modeling.columns._vocabulary import END, frequent_tokens
from tiltyard.modeling.problems.base import FittedEncoder, Problem, Run, Target
from tiltyard.modeling.problems.translation import MEASURES, Translation, edits, split

MAX_WORDS = 10_000  # that captions are written with: the most frequent ones
ROWS_AT_A_TIME = 32  # of a request, since each has a probability for every word at every step
ORDERS = (1, 2, 3, 4)  # lengths of the n-grams of BLEU-4
SHARED = tuple(f"shared{order}" for order in ORDERS)
FIELDS = (*MEASURES, "words", "correct", *SHARED)  # words: of the predicted caption; length: of the true one


class Captioning(Translation):
    """A softmax over the words of captions at every step."""

    losses: ClassVar = {"softmax": ("sparse_categorical_crossentropy",)}

    def __init__(self, encoder: FittedEncoder | None = None) -> None:
        self._encoder = encoder

    def bound_to(self, encoder: FittedEncoder) -> Problem:
        """Return the problem with the words, by which it writes captions."""
        return type(self)(encoder)

    def fit(self, target: Target, truth: Array) -> Fitted:
        """Fit the vocabulary of the captions of training rows."""
        if target.length is None:  # the loader requires it
            raise DataError("target.length: expected the maximum number of words of a caption")
        ranked = frequent_tokens((split(str(text), target.by) for text in truth), 1, MAX_WORDS)
        ids = {word: index for index, word in enumerate(ranked, start=END + 1)}
        return {"ids": ids, "by": target.by, "steps": target.length + 1}

    def condense(self, encoder: FittedEncoder, truth: Array, outputs: Array) -> Array:
        """Return the measures of each caption."""
        return judged(captions(encoder, outputs)[0], truth, encoder.target["by"])

    def respond(self, encoder: FittedEncoder, run: Run, rows: Rows) -> list[Any]:
        """Return the caption of each picture, some pictures at a time, so that memory is bounded."""
        predictions: list[Any] = []
        for start in deadline.stepwise(range(0, row_count(rows), ROWS_AT_A_TIME)):
            places = np.arange(start, min(start + ROWS_AT_A_TIME, row_count(rows)))
            outputs = run(take_rows(rows, places))
            if not np.isfinite(outputs).all():
                raise RequestError("out_of_bounds", "the values are too large for the model", "instances")
            predictions += self.decode(outputs, [])
        return predictions

    def decode(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Return captions with their probabilities."""
        if self._encoder is None:
            raise DataError("captions need an encoder, which has the words")
        pairs = zip(*captions(self._encoder, outputs), strict=True)
        return [{"caption": text, "probability": probability} for text, probability in pairs]

    def purpose(self, target: Target) -> str:
        """Return a phrase for the model card."""
        return f"a text about a picture, `{target.column}`, with its probability"

    def json_schema(self, target: Target) -> dict[str, Any]:
        """Return the schema: the caption, and its probability."""
        probability = {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "description": "the product of the probabilities of its words, each given the words before",
        }
        properties = {"caption": {"type": "string"}, "probability": probability}
        return {"type": "object", "properties": properties, "required": list(properties)}


def captions(encoder: FittedEncoder, outputs: Array) -> tuple[list[str], list[float]]:
    """Return the most probable words of each row up to the end, and the product of their probabilities."""
    tokens = {index: token for token, index in encoder.target["ids"].items()}
    separator = " " if encoder.target["by"] == "words" else ""
    texts, probabilities = [], []
    for steps, shares in zip(outputs, outputs.max(axis=2).astype(np.float64), strict=True):
        ids = written(steps)
        texts.append(separator.join(tokens[index] for index in ids if index in tokens))
        probabilities.append(min(float(shares[: len(ids)].prod()), 1.0))
    return texts, probabilities


def written(steps: Array) -> list[int]:
    """Return the most probable id of each step of a row, up to the first end."""
    ids: list[int] = steps.argmax(axis=1).tolist()
    return ids[: ids.index(END) + 1] if END in ids else ids


def judged(predicted: list[str], truth: Array, by: str) -> Array:
    """Return the measures of each caption, for the metrics."""
    width = max(1, *map(len, predicted), *map(len, truth.tolist()))
    records = np.zeros(len(predicted), dtype=[("text", f"U{width}"), *((name, "f8") for name in FIELDS)])
    for row, (text, actual) in enumerate(zip(predicted, truth.tolist(), strict=True)):
        ours, theirs = split(text, by), split(actual, by)
        correct = sum(word == expected for word, expected in zip(ours, theirs, strict=False))
        counts = ours == theirs, edits(ours, theirs), len(theirs), len(ours), correct
        records[row] = (text, *counts, *(shared(ours, theirs, order) for order in ORDERS))
    return records


def shared(predicted: list[str], actual: list[str], order: int) -> int:
    """Return how many n-grams of a predicted text the true one has, each at most as often as it has it."""
    ours, theirs = (Counter(zip(*(words[i:] for i in range(order)), strict=False)) for words in (predicted, actual))
    return (ours & theirs).total()
