"""Cells of a file that hold several labels: Action|Comedy, or a list."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from tiltyard.arrays import Array, is_missing


def labels_of(cell: object, separator: str | None) -> list[str]:
    """Return the labels in a cell, in alphabetical order and each once; an empty cell has none.

    Without a separator, the cell is a list, or its text as JSON: readers of nested formats write it so.
    """
    parts = cell if isinstance(cell, list) else [] if is_missing(cell) else _split(str(cell), separator)
    return sorted({str(part).strip() for part in parts if not is_missing(part)})


def joined(labels: Sequence[str], separator: str | None) -> str:
    """Return labels as the text of a cell, the opposite of `labels_of`."""
    return json.dumps([*labels], ensure_ascii=False) if separator is None else separator.join(labels)


def multi_hot(rows: Sequence[Sequence[str]], classes: Sequence[str]) -> Array:
    """Return for each row and label whether the row has it; all labels must be known."""
    places = {label: place for place, label in enumerate(classes)}
    flags = np.zeros((len(rows), len(classes)), dtype=np.bool_)
    for row, labels in zip(flags, rows, strict=True):
        row[[places[label] for label in labels]] = True
    return flags


def _split(text: str, separator: str | None) -> list[Any]:
    """Return the parts of a text; of a list that is no JSON, such as ['a', 'b'], the quotes are removed."""
    if separator is not None:
        return text.split(separator)
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return [text]
    try:
        parts = json.loads(text)
    except (ValueError, RecursionError):
        return [part.strip().strip("'\"") for part in text[1:-1].split(",")]
    return [*parts]
