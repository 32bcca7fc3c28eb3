"""Going on with a text: guessing each next character from those before it, and writing by drawing from the guesses.

What is measured of a row are three numbers: the sum of surprise over its characters, how many were guessed, and how
many there are.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tiltyard import deadline
from tiltyard.arrays import Array, Rows
from tiltyard.figures import Figure, spread
from tiltyard.modeling.columns._vocabulary import UNKNOWN
from tiltyard.modeling.columns.prose import Prose, ids
from tiltyard.modeling.metrics import by_problem
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.base import TRUTH, FittedEncoder, Problem, Run, Target

LISTED = 10
LEAST = 1e-12  # a probability that float32 has rounded to zero


class Generation(Problem):
    """A softmax over the characters at every step; the baseline counts which character follows two others."""

    losses: ClassVar = {"softmax": ("sparse_categorical_crossentropy",)}
    targets: ClassVar = "text"
    baseline_title: ClassVar = "how often a character follows the two before it in the training rows"
    metrics: ClassVar = by_problem.GENERATION

    def units(self, target: Target, output: str, encoder: FittedEncoder) -> int:
        """One an id."""
        return encoder.vocabulary_size

    def ids(self, encoder: FittedEncoder, truth: Array) -> Array:
        """Those of the text's own characters."""
        name, column = _prose(encoder)
        return ids(truth, encoder.fitted[name]["ids"], column.length)

    def condense(self, encoder: FittedEncoder, truth: Array, outputs: Array) -> Array:
        """Surprise, hits, characters."""
        right = self.ids(encoder, truth)
        there = right > 0
        given = np.take_along_axis(outputs, right[:, :, None].astype(np.int64), axis=2)[:, :, 0]
        surprise = -np.log(np.maximum(given.astype(np.float64), LEAST))
        guessed = (outputs.argmax(axis=2) == right) & there & (right != UNKNOWN)
        return np.stack([(surprise * there).sum(axis=1), guessed.sum(axis=1), there.sum(axis=1)], axis=1)

    def respond(self, encoder: FittedEncoder, run: Run, rows: Rows) -> list[Any]:
        """Write on: draw a character, put it behind the others, and ask again, all rows at once."""
        name, _ = _prose(encoder)
        known = {place: character for character, place in encoder.fitted[name]["ids"].items()}
        wishes = rows[name].copy()
        chances = [np.random.default_rng(seed) for seed in wishes["seed"]]
        written = [""] * len(wishes)
        for step in deadline.paced(range(int(wishes["length"].max()))):
            guesses = run({name: wishes})
            for i in np.flatnonzero(wishes["length"] > step):
                last = len(str(wishes["text"][i])) - 1
                character = known[_draw(guesses[i, last], float(wishes["temperature"][i]), chances[i])]
                written[i] += character
                wishes["text"][i] = (str(wishes["text"][i]) + character)[-_prose(encoder)[1].length :]
        return self.answer(np.array(written, dtype=np.str_), [])

    def answer(self, outputs: Array, classes: list[str]) -> list[Any]:
        """What was written."""
        return [str(text) for text in outputs]

    def purpose(self, target: Target) -> str:
        """Text."""
        return "text that goes on from a prompt, drawn character by character"

    def json_schema(self, target: Target) -> dict[str, Any]:
        """Text."""
        return {"type": "string"}

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Count three characters in a row, and be judged as the model is."""
        from tiltyard.modeling.metrics.ngram import Ngram

        (texts,) = [values["text"] for name, values in rows.items() if name != TRUTH]
        return Ngram(map(str, train)).judged(texts, rows[TRUTH])

    def context(self, train: Array) -> dict[str, float]:
        """Nothing is needed."""
        return {}

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """The windows that surprised the most."""
        each = _each(predictions.outputs)
        worst = np.argsort(-each, kind="stable")[:LISTED]
        rows = zip(predictions.number[worst], each[worst], predictions.truth[worst], strict=True)
        return {"worst": [{"row": int(n), "perplexity": float(p), "text": str(text)} for n, p, text in rows]}

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Perplexity of every window, in their order."""
        model, baseline = _each(predictions.outputs), _each(predictions.baseline)
        return {
            "perplexity": {"row": predictions.number.tolist(), "model": model.tolist(), "baseline": baseline.tolist()}
        }

    def exhibits(self, predictions: Predictions) -> list[Figure]:
        """How much windows surprise."""
        found = {"model": _each(predictions.outputs), "baseline": _each(predictions.baseline)}
        return [
            spread("Perplexity of a window", "How many characters the model wavers between, window by window.", found)
        ]


def _prose(encoder: FittedEncoder) -> tuple[str, Prose]:
    ((name, column),) = encoder.columns.items()
    assert isinstance(column, Prose)  # noqa: S101 - for the type checker: a task is refused otherwise
    return name, column


def _each(judged: Array) -> Array:
    each: Array = np.exp(judged[:, 0] / judged[:, 2])
    return each


def _draw(guesses: Array, temperature: float, chance: np.random.Generator) -> int:
    """Draw an id that stands for a character: the likeliest at temperature 0, any at a high one."""
    logs = np.log(np.maximum(guesses[UNKNOWN + 1 :].astype(np.float64), LEAST))
    if temperature == 0:
        return int(logs.argmax()) + UNKNOWN + 1
    weights = np.exp((logs - logs.max()) / temperature)
    return int(chance.choice(len(weights), p=weights / weights.sum())) + UNKNOWN + 1
