"""Draft the sections of a task that reads one text per row, and the settings of columns of texts."""

from __future__ import annotations

import math
from typing import Any

from tiltyard.arrays import is_missing
from tiltyard.config.draft.column_profile import ColumnProfile

VOCABULARY = 50_000  # n-grams
USUAL_LENGTH, MAX_LENGTH = 120, 500  # words that are read
SHARE = 0.95  # of the texts are read as a whole


def sections(profile: ColumnProfile, cells: list[object]) -> dict[str, Any]:
    """Return the sections: n-grams, which need fewer texts than networks that learn the order of words."""
    texts = [str(cell) for cell in cells if not is_missing(cell)]
    return {
        "columns": {profile.name: {**profile.column, **settings(texts)}},
        "model": {"family": "ngrams", "dropout": 0.1, "blend_references": True},
        "train": {"epochs": 100, "batch_size": batch(len(texts)), "learning_rate": 0.01, "patience": 10},
        "serve": {"example": texts[0]},
    }


def settings(texts: list[str]) -> dict[str, Any]:
    """Return the settings of a column of texts: n-grams, and how many words are read."""
    lengths = sorted(len(text.split()) for text in texts)
    longest = lengths[int(SHARE * (len(lengths) - 1))] * 5 // 4  # punctuation marks are words, too
    length = USUAL_LENGTH if longest <= USUAL_LENGTH else min(MAX_LENGTH, -(-longest // 20) * 20)
    return {"by": "ngrams", "vocabulary": VOCABULARY, **({"length": length} if length != USUAL_LENGTH else {})}


def batch(rows: int) -> int:
    """Return a batch size that gives several steps per epoch."""
    usual = 128 if rows >= 5000 else 64 if rows >= 2000 else 32
    return min(usual, max(1, 1 << int(math.log2(max(1, rows * 0.25)))))
