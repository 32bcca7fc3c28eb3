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

MIN_PROBABILITY = 1e-12  # replaces a probability that float32 rounded to zero


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
        ids = self.ids(encoder, truth)
        mask = ids > 0
        true_probability = np.take_along_axis(outputs, ids[:, :, None].astype(np.int64), axis=2)[:, :, 0]
        losses = -np.log(np.maximum(true_probability.astype(np.float64), MIN_PROBABILITY))
        correct = (outputs.argmax(axis=2) == ids) & mask & (ids != UNKNOWN)
        return np.stack([(losses * mask).sum(axis=1), correct.sum(axis=1), mask.sum(axis=1)], axis=1)

    def respond(self, encoder: FittedEncoder, run: Run, rows: Rows) -> list[Any]:
        """Generate text: sample a character, append it and predict again, for all rows at once."""
        name, _ = _prose(encoder)
        characters = {index: character for character, index in encoder.fitted[name]["ids"].items()}
        requests = rows[name].copy()
        generators = [np.random.default_rng(seed) for seed in requests["seed"]]
        texts = [""] * len(requests)
        for step in deadline.stepwise(range(int(requests["length"].max()))):
            outputs = run({name: requests})
            for i in np.flatnonzero(requests["length"] > step):
                last = len(str(requests["text"][i])) - 1
                character = characters[_draw(outputs[i, last], float(requests["temperature"][i]), generators[i])]
                texts[i] += character
                requests["text"][i] = (str(requests["text"][i]) + character)[-_prose(encoder)[1].length :]
        return self.decode(np.array(texts, dtype=np.str_), [])

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


def _draw(distribution: Array, temperature: float, generator: np.random.Generator) -> int:
    """Sample the id of a character: the most probable one at temperature 0, more random at a higher one."""
    logs = np.log(np.maximum(distribution[UNKNOWN + 1 :].astype(np.float64), MIN_PROBABILITY))
    if temperature == 0:
        return int(logs.argmax()) + UNKNOWN + 1
    weights = np.exp((logs - logs.max()) / temperature)
    return int(generator.choice(len(weights), p=weights / weights.sum())) + UNKNOWN + 1
