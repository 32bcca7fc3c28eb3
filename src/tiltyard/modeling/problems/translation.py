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
        ids = {word: place for place, word in enumerate(ranked, start=END + 1)}
        return {"ids": ids, "by": target.by, "steps": target.length + 1}

    def units(self, target: Target, output: str, encoder: FittedEncoder) -> int:
        """Return one unit per id."""
        return len(encoder.target["ids"]) + END + 1

    def ids(self, encoder: FittedEncoder, truth: Array) -> Array:
        """Return the ids of the target text, END, then padding."""
        known, steps = encoder.target["ids"], encoder.target["steps"]
        found = np.full((len(truth), steps), PAD, dtype=np.int32)
        for row, text in zip(found, truth.tolist(), strict=True):
            words = split(text, encoder.target["by"])[: steps - 1]
            row[: len(words) + 1] = [*(known.get(word, START) for word in words), END]
        return found

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


def judged(answers: list[str], truth: Array, by: str) -> Array:
    """Return text, correctness, edit distance and length for each row, for the metrics."""
    width = max(1, *map(len, answers), *map(len, truth.tolist()))
    found = np.zeros(len(answers), dtype=[("text", f"U{width}"), *((name, "f8") for name in MEASURES)])
    for row, (answer, right) in enumerate(zip(answers, truth.tolist(), strict=True)):
        meant = split(right, by)
        found[row] = (answer, answer == right, edits(split(answer, by), meant), len(meant))
    return found


def edits(one: list[str], other: list[str]) -> int:
    """Return the edit distance (Levenshtein) of two lists."""
    before: list[int] = [*range(len(other) + 1)]
    for place, word in enumerate(one, start=1):
        row = [place]
        for i, wanted in enumerate(other, start=1):
            row.append(min(before[i] + 1, row[-1] + 1, before[i - 1] + int(word != wanted)))
        before = row
    return before[-1]


def _texts(encoder: FittedEncoder, outputs: Array) -> list[str]:
    """Decode the most probable ids up to the end token."""
    known = {place: word for word, place in encoder.target["ids"].items()}
    glue = " " if encoder.target["by"] == "words" else ""
    texts = []
    for row in outputs.argmax(axis=2).tolist():
        end = row.index(END) if END in row else len(row)
        texts.append(glue.join(known.get(place, "") for place in row[:end]))
    return texts
