"""Vocabulary: words or characters of the training rows, the most frequent first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

PAD, UNKNOWN = 0, 1  # reserved ids
START, END = 1, 2  # of an answer: what stands before its first step, or for what was never seen, and behind its last


def learned(texts: Iterable[Iterable[str]], at_least: int, size: int | None = None) -> list[str]:
    """Return the tokens that occur in the most texts; ties in alphabetical order."""
    counts = Counter(word for text in texts for word in set(text))
    kept = (word for word in counts if counts[word] >= at_least)
    return sorted(kept, key=lambda word: (-counts[word], word))[:size]
