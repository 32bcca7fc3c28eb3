"""Text generation: predict the next character, and sample texts from a prompt.

Metrics use three numbers for each row: the sum of the negative log probabilities of its characters, how many were
predicted correctly, and how many there are.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.modeling import deadline
from tiltyard.modeling.columns._vocabulary import UNKNOWN
from tiltyard.modeling.columns.prose import Prose, ids
from tiltyard.modeling.problems.base import FittedEncoder, Problem, Run, Target

LEAST = 1e-12  # replaces a probability that float32 rounded to zero


class Generation(Problem):
    """A softmax over the characters at every step."""

    losses: ClassVar = {"softmax": ("sparse_categorical_crossentropy",)}
    targets: ClassVar = "text"

    def units(self, target: Target, output: str, encoder: FittedEncoder) -> int:
        """Return one unit per id."""
        return encoder.vocabulary_size

    def ids(self, encoder: FittedEncoder, truth: Array) -> Array:
        """Return the ids of the text's characters."""
        name, column = _prose(encoder)
        return ids(truth, encoder.fitted[name]["ids"], column.length)

    def condense(self, encoder: FittedEncoder, truth: Array, outputs: Array) -> Array:
        """Return the sum of negative log probabilities, the correct characters, and all characters of each row."""
        right = self.ids(encoder, truth)
        there = right > 0
        given = np.take_along_axis(outputs, right[:, :, None].astype(np.int64), axis=2)[:, :, 0]
        surprise = -np.log(np.maximum(given.astype(np.float64), LEAST))
        guessed = (outputs.argmax(axis=2) == right) & there & (right != UNKNOWN)
        return np.stack([(surprise * there).sum(axis=1), guessed.sum(axis=1), there.sum(axis=1)], axis=1)

    def respond(self, encoder: FittedEncoder, run: Run, rows: Rows) -> list[Any]:
        """Generate text: sample a character, append it and predict again, for all rows at once."""
        name, _ = _prose(encoder)
        known = {place: character for character, place in encoder.fitted[name]["ids"].items()}
        wishes = rows[name].copy()
        chances = [np.random.default_rng(seed) for seed in wishes["seed"]]
        written = [""] * len(wishes)
        for step in deadline.stepwise(range(int(wishes["length"].max()))):
            guesses = run({name: wishes})
            for i in np.flatnonzero(wishes["length"] > step):
                last = len(str(wishes["text"][i])) - 1
                character = known[_draw(guesses[i, last], float(wishes["temperature"][i]), chances[i])]
                written[i] += character
                wishes["text"][i] = (str(wishes["text"][i]) + character)[-_prose(encoder)[1].length :]
        return self.decode(np.array(written, dtype=np.str_), [])

    def decode(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Return the generated texts."""
        return [str(text) for text in outputs]

    def purpose(self, target: Target) -> str:
        """Return the phrase for text generation."""
        return "text that continues a prompt, sampled character by character"

    def json_schema(self, target: Target) -> dict[str, Any]:
        """Return the schema: text."""
        return {"type": "string"}


def _prose(encoder: FittedEncoder) -> tuple[str, Prose]:
    ((name, column),) = encoder.columns.items()
    assert isinstance(column, Prose)  # noqa: S101 - for the type checker: a task is refused otherwise
    return name, column


def _draw(guesses: Array, temperature: float, chance: np.random.Generator) -> int:
    """Sample the id of a character: the most probable one at temperature 0, more random at a higher one."""
    logs = np.log(np.maximum(guesses[UNKNOWN + 1 :].astype(np.float64), LEAST))
    if temperature == 0:
        return int(logs.argmax()) + UNKNOWN + 1
    weights = np.exp((logs - logs.max()) / temperature)
    return int(chance.choice(len(weights), p=weights / weights.sum())) + UNKNOWN + 1
