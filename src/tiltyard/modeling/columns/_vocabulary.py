"""A vocabulary: which words or characters training rows hold, the commonest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

PAD, UNKNOWN = 0, 1  # ids that stand for no word
START, END = 1, 2  # of an answer: what stands before its first step, or for what was never seen, and behind its last


def learned(texts: Iterable[Iterable[str]], at_least: int, size: int | None = None) -> list[str]:
    """Return what occurs in the most texts; of equally common ones the first by name."""
    counts = Counter(word for text in texts for word in set(text))
    kept = (word for word in counts if counts[word] >= at_least)
    return sorted(kept, key=lambda word: (-counts[word], word))[:size]
