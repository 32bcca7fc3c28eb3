"""Trigram baseline of text generation: character counts of the training rows, smoothed (Witten-Bell)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property

import numpy as np

from tiltyard.arrays import Array

ORDER = 3  # n of the n-gram: two characters of context, and the next one


class Ngram:
    """Counts of 1- to 3-grams with Witten-Bell smoothing: rare contexts back off to shorter ones."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.counts: list[Counter[str]] = [Counter() for _ in range(ORDER)]
        self.kinds: list[Counter[str]] = [Counter() for _ in range(ORDER)]  # distinct successors by context
        self.successors: list[Counter[str]] = [Counter() for _ in range(ORDER)]  # successors by context
        for text in texts:
            for order in range(ORDER):
                self.counts[order].update(text[start : start + order + 1] for start in range(len(text) - order))
        for order, counts in enumerate(self.counts):
            for gram, count in counts.items():
                self.kinds[order][gram[:-1]] += 1
                self.successors[order][gram[:-1]] += count
        self.characters = len(self.counts[0]) + 1  # plus one for all unseen characters

    def probability(self, preceding: str, character: str) -> float:
        """Return the probability of a character after a context."""
        estimate = 1 / self.characters
        for order in range(ORDER):
            context = preceding[len(preceding) - order :] if order else ""
            if len(context) < order or not (total := self.successors[order][context]):
                break
            kinds = self.kinds[order][context]
            estimate = (self.counts[order][context + character] + kinds * estimate) / (total + kinds)
        return estimate

    def most_frequent_next(self, preceding: str) -> str:
        """Return the most frequent next character."""
        for order in reversed(range(ORDER)):
            context = preceding[len(preceding) - order :] if order else ""
            if len(context) == order and context in self.best[order]:
                return self.best[order][context]
        return ""

    @cached_property
    def best(self) -> list[dict[str, str]]:
        """Return the most frequent successor by context."""
        best = []
        for counts in self.counts:
            ranked = sorted(counts, key=lambda gram: (counts[gram], gram))
            best.append({gram[:-1]: gram[-1] for gram in ranked})
        return best

    def judged(self, texts: Array, truth: Array) -> Array:
        """Return for each row the sum of negative log probabilities, the correct characters and all characters."""
        cache: dict[tuple[str, str], tuple[float, bool]] = {}
        rows = []
        for text, continuation in zip(texts.tolist(), truth.tolist(), strict=True):
            loss, correct = 0.0, 0
            for index, character in enumerate(continuation):
                preceding = text[max(0, index + 2 - ORDER) : index + 1]
                if (preceding, character) not in cache:
                    is_correct = self.most_frequent_next(preceding) == character
                    cache[preceding, character] = -float(np.log(self.probability(preceding, character))), is_correct
                character_loss, is_hit = cache[preceding, character]
                loss, correct = loss + character_loss, correct + is_hit
            rows.append((loss, correct, len(continuation)))
        return np.array(rows, dtype=np.float64)
