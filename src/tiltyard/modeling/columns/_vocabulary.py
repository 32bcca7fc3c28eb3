"""Vocabulary: words or characters of the training rows, the most frequent first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

PAD, UNKNOWN = 0, 1  # reserved ids
START, END = 1, 2  # of a target text: START precedes its first token, and stands for unknown ones; END follows its last


def frequent_tokens(texts: Iterable[Iterable[str]], at_least: int, size: int | None = None) -> list[str]:
    """Return the most frequent tokens, by the number of texts that hold them; ties in alphabetical order."""
    counts = Counter(token for text in texts for token in set(text))
    frequent = (token for token in counts if counts[token] >= at_least)
    return sorted(frequent, key=lambda token: (-counts[token], token))[:size]
