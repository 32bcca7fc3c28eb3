"""Translation: from one text to another, such as date formats or short phrases.

Metrics use for each row: the predicted text, whether it is correct, its edit distance from the true text, and the
length of the true text.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Fitted, Rows
from tiltyard.errors import DataError
from tiltyard.modeling.columns._vocabulary import END, PAD, START, frequent_tokens
from tiltyard.modeling.problems.base import FittedEncoder, Problem, Run, Target

MEASURES = ("exact", "edits", "length")


class Translation(Problem):
    """A softmax over the target's words or characters at every step."""

    losses: ClassVar = {"softmax": ("sparse_categorical_crossentropy",)}
    targets: ClassVar = "text"

    def fit(self, target: Target, truth: Array) -> Fitted:
        """Fit the vocabulary of the target; each text ends with an end token."""
        if target.length is None:  # the loader requires it
            raise DataError("target.length: expected the maximum number of tokens of a target text")
        ranked = frequent_tokens((split(str(text), target.by) for text in truth), 1)
        ids = {token: index for index, token in enumerate(ranked, start=END + 1)}
        return {"ids": ids, "by": target.by, "steps": target.length + 1}

    def units(self, target: Target, output: str, encoder: FittedEncoder) -> int:
        """Return one unit per id."""
        return len(encoder.target["ids"]) + END + 1

    def ids(self, encoder: FittedEncoder, truth: Array) -> Array:
        """Return the ids of the target text, END, then padding."""
        vocabulary, steps = encoder.target["ids"], encoder.target["steps"]
        ids = np.full((len(truth), steps), PAD, dtype=np.int32)
        for row, text in zip(ids, truth.tolist(), strict=True):
            tokens = split(text, encoder.target["by"])[: steps - 1]
            row[: len(tokens) + 1] = [*(vocabulary.get(token, START) for token in tokens), END]
        return ids

    def condense(self, encoder: FittedEncoder, truth: Array, outputs: Array) -> Array:
        """Return text, correctness, edit distance and length for each row."""
        return judged(_texts(encoder, outputs), truth, encoder.target["by"])

    def respond(self, encoder: FittedEncoder, run: Run, rows: Rows) -> list[Any]:
        """Return the greedily decoded text of each row; the model decodes inside its graph."""
        return self.decode(np.array(_texts(encoder, run(rows)), dtype=np.str_), [])

    def decode(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Return the predicted texts."""
        return [str(text) for text in outputs]

    def purpose(self, target: Target) -> str:
        """Return a phrase such as: the text `iso`."""
        return f"the text `{target.column}`"

    def json_schema(self, target: Target) -> dict[str, Any]:
        """Return the schema: text."""
        return {"type": "string"}


def split(text: str, by: str) -> list[str]:
    """Split a text into words or characters."""
    return text.split() if by == "words" else [*text]


def judged(predicted: list[str], truth: Array, by: str) -> Array:
    """Return text, correctness, edit distance and length for each row, for the metrics."""
    width = max(1, *map(len, predicted), *map(len, truth.tolist()))
    records = np.zeros(len(predicted), dtype=[("text", f"U{width}"), *((name, "f8") for name in MEASURES)])
    for row, (text, actual) in enumerate(zip(predicted, truth.tolist(), strict=True)):
        tokens = split(actual, by)
        records[row] = (text, text == actual, edits(split(text, by), tokens), len(tokens))
    return records


def edits(first: list[str], second: list[str]) -> int:
    """Return the edit distance (Levenshtein) of two lists."""
    previous: list[int] = [*range(len(second) + 1)]
    for i, token in enumerate(first, start=1):
        row = [i]
        for j, expected in enumerate(second, start=1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + int(token != expected)))
        previous = row
    return previous[-1]


def _texts(encoder: FittedEncoder, outputs: Array) -> list[str]:
    """Decode the most probable ids up to the end token."""
    tokens = {index: token for token, index in encoder.target["ids"].items()}
    separator = " " if encoder.target["by"] == "words" else ""
    texts = []
    for row in outputs.argmax(axis=2).tolist():
        end = row.index(END) if END in row else len(row)
        texts.append(separator.join(tokens.get(index, "") for index in row[:end]))
    return texts
