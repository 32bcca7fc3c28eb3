"""Vocabulary: words or characters of the training rows, the most frequent first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

PAD, UNKNOWN = 0, 1  # reserved ids
START, END = 1, 2  # of a target text: START precedes its first token, and stands for unknown ones; END follows its last


def learned(texts: Iterable[Iterable[str]], at_least: int, size: int | None = None) -> list[str]:
    """Return the most frequent tokens, by the number of texts that hold them; ties in alphabetical order."""
    counts = Counter(word for text in texts for word in set(text))
    kept = (word for word in counts if counts[word] >= at_least)
    return sorted(kept, key=lambda word: (-counts[word], word))[:size]
