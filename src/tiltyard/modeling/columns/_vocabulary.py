"""Vocabulary of the training rows: words, characters and n-grams, the most frequent first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from tiltyard.arrays import Array, Fitted

PAD, UNKNOWN = 0, 1  # reserved ids
START, END = 1, 2  # of a target text: START precedes its first token, and stands for unknown ones; END follows its last

CHARACTERS = (2, 3, 4, 5)
MAX_SPELT = 60  # words: of longer texts no characters are read, since words suffice
MAX_FITTED = 30_000  # texts that are counted, evenly spaced, which bounds the memory
MAX_WIDTH = 1024  # ids of a text
MARK = " "  # before characters; no word and no pair of words begins with it


def frequent_tokens(texts: Iterable[Iterable[str]], at_least: int, size: int | None = None) -> list[str]:
    """Return the most frequent tokens, by the number of texts that hold them; ties in alphabetical order."""
    counts = Counter(token for text in texts for token in set(text))
    frequent = (token for token in counts if counts[token] >= at_least)
    return sorted(frequent, key=lambda token: (-counts[token], token))[:size]


def ngrams(words: Sequence[str]) -> list[str]:
    """Return each n-gram of a text once: words first, then pairs, then characters."""
    pairs = (f"{first} {second}" for first, second in pairwise(words))
    return [*dict.fromkeys([*words, *pairs, *_characters(words if len(words) <= MAX_SPELT else ())])]


def _characters(words: Iterable[str]) -> Iterator[str]:
    """Yield consecutive characters, also with the blank before and after a word."""
    for word in words:
        spelt = f" {word} "
        for size in CHARACTERS if len(word) > 1 else ():
            for start in range(len(spelt) - size + 1):
                yield MARK + spelt[start : start + size]


def fit(texts: Sequence[list[str]], at_least: int, max_ngrams: int) -> Fitted:
    """Learn the n-grams that occur in the most texts, with their inverse document frequency; ties in order of text.

    `width` is the largest number of known n-grams of a text.
    """
    counts = Counter(gram for words in texts for gram in ngrams(words))
    vocabulary = sorted((gram for gram in counts if counts[gram] >= at_least), key=lambda gram: (-counts[gram], gram))[
        :max_ngrams
    ]
    ids = {gram: place for place, gram in enumerate(vocabulary, start=UNKNOWN + 1)}
    rarity = [round(1 + math.log((1 + len(texts)) / (1 + counts[gram])), 4) for gram in vocabulary]
    width = max((sum(gram in ids for gram in ngrams(words)) for words in texts), default=1)
    return {"ids": ids, "idf": rarity, "width": min(max(1, width), MAX_WIDTH)}


def fitted_texts(values: Array) -> Array:
    """Return the texts that are counted."""
    return values[:: -(-len(values) // MAX_FITTED)] if len(values) > MAX_FITTED else values


def encode(words: Sequence[str], fitted: Fitted) -> list[int]:
    """Return the ids of the known n-grams of a text."""
    ids = fitted["ids"]
    return [place for gram in ngrams(words) if (place := ids.get(gram))][: fitted["width"]]


def weights(fitted: Fitted) -> list[tuple[float, float]]:
    """Return for each id its inverse document frequency among words and pairs, and among characters; one of them is 0.

    Both groups are normalised apart, since a text has many more n-grams of characters than words.
    """
    pairs = zip(fitted["ids"], fitted["idf"], strict=True)
    return [(0.0, 0.0)] * (UNKNOWN + 1) + [(0.0, idf) if gram.startswith(MARK) else (idf, 0.0) for gram, idf in pairs]
