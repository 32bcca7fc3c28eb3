"""Texts that are near duplicates, very short, or truncated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.columns.text import TOKEN, Text
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings._observed_column import ObservedColumn
from tiltyard.validation.findings.base import MIN_COPIES, Finding, Found, join_first, share

MIN_CHARACTERS = 3
MAX_TRUNCATED = 0.1  # share of the texts
MAX_REPEATED = 0.5  # of the texts; if more are equal, they are about digits or punctuation, such as dates
PUNCTUATION, DIGITS = re.compile(r"[\W_]+"), re.compile(r"\d+")


class Texts(Finding):
    """Texts that differ only in numbers or punctuation are near duplicates."""

    code: ClassVar = "texts"
    title: ClassVar = "texts that nearly repeat, or are too short or too long"
    serving: ClassVar = True

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Compare letters only, and count characters and words."""
        for name, column in subject.columns.items():
            if isinstance(column.column, Text):
                yield from self._short(subject, name, column)
                yield from self._long(name, column, column.column)
                yield from self._repeated(subject, name, _keys(column))

    def _short(self, subject: CheckedData, name: str, column: ObservedColumn) -> Iterator[Found]:
        lengths = [len(str(cell).strip()) if cell is not None else MIN_CHARACTERS for cell in column.cells]
        short = np.flatnonzero(np.array(lengths) < MIN_CHARACTERS)
        if len(short) >= MIN_COPIES:
            text = f"{share(len(short), len(lengths))} texts have fewer than {MIN_CHARACTERS} characters, such as rows "
            text += join_first(subject.row_numbers(short))
            yield self.found("note", name, f"{text}; expected words", "see whether these rows are intended")

    def _long(self, name: str, column: ObservedColumn, settings: Text) -> Iterator[Found]:
        words = np.array([_count_words(cell, settings.length + 1) for cell in column.cells])
        count = int((words > settings.length).sum())
        if count > MAX_TRUNCATED * len(words):
            text = f"{share(count, len(words))} texts are truncated to {settings.length} words"
            yield self.found(
                "note", name, f"{text}; expected at most {MAX_TRUNCATED:.0%}", f"raise columns.{name}.length"
            )

    def _repeated(self, subject: CheckedData, name: str, keys: Array) -> Iterator[Found]:
        repeated = _near_copies(keys, np.array([str(cell) for cell in subject.columns[name].cells], dtype=object))
        if repeated.sum() < MIN_COPIES or repeated.sum() > MAX_REPEATED * len(keys):
            return
        text = f"{share(int(repeated.sum()), len(keys))} texts equal another except for punctuation and digits"
        text += ", such as rows "
        text += join_first(subject.row_numbers(np.flatnonzero(repeated))) + "; expected each once"
        hint = "keep one of each, so that no test row is known from training"
        overlap = int(np.isin(keys[subject.parts["test"]], keys[subject.parts["train"]]).sum()) if subject.parts else 0
        text += f"; {overlap:,} of the test rows have such a copy among the training rows" if overlap else ""
        yield self.found("warning" if overlap else "note", name, text, hint)


def _near_copies(keys: Array, cells: Array) -> Array:
    """Return which texts equal another one in their key and not in every character: `duplicates` reports the latter."""
    _, group = np.unique(keys, return_inverse=True)
    _, first = np.unique(cells, return_index=True)
    different = np.bincount(group[first], minlength=group.max() + 1)  # texts with each key
    return np.asarray((different[group] > 1) & (keys != ""))


def _keys(column: ObservedColumn) -> Array:
    """Return each text in lower case without punctuation, with 0 for each number."""
    texts = ("" if cell is None else str(cell).lower() for cell in column.cells)
    return np.array([DIGITS.sub("0", PUNCTUATION.sub(" ", text)).strip() for text in texts], dtype=object)


def _count_words(cell: object, limit: int) -> int:
    """Count words, up to a limit."""
    return sum(1 for _, _ in zip(TOKEN.finditer(str(cell or "")), range(limit), strict=False))
