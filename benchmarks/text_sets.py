"""Texts for texts.py: two sets of the mirror, and generated ones of different kinds."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from tiltyard.arrays import Array

LETTERS = list("abcdefghiklmnoprstuvw")
ENDINGS = ["ing", "er", "ers", "s", "ings", ""]


def spam() -> pd.DataFrame:
    """Return text messages, spam or not."""
    return pd.read_csv(_mirror("sms_spam.tsv"), sep="\t", quoting=3).set_axis(["label", "text"], axis=1)


def reviews() -> pd.DataFrame:
    """Return 2,000 film reviews, good or bad."""
    table = pd.read_parquet(_mirror("imdb_reviews.parquet"))
    return table.sample(2000, random_state=0)[["label", "text"]]


def topics() -> pd.DataFrame:
    """Return texts of nine words, of which one has a stem of the label, an ending and often a letter too few."""
    generator = np.random.default_rng(0)
    words, share = _words(generator, 3000, 2, 8), _rarity(3000)
    stems = [["".join(generator.choice(LETTERS, 6)) for _ in range(20)] for _ in range(8)]
    labels = generator.integers(0, len(stems), 10_000)
    texts = []
    for label in labels:
        sentence = generator.choice(words, 9, p=share).tolist()
        word = str(generator.choice(stems[label])) + str(generator.choice(ENDINGS))
        place = int(generator.integers(0, len(word)))
        sentence[int(generator.integers(0, 9))] = (
            word[:place] + word[place + 1 :] if generator.random() < 1 / 3 else word
        )
        texts.append(" ".join(sentence))
    wrong = generator.random(len(labels)) < 0.05
    noisy = np.where(wrong, generator.integers(0, len(stems), len(labels)), labels)
    return pd.DataFrame({"label": [f"topic {label}" for label in noisy], "text": texts})


def opinions() -> pd.DataFrame:
    """Return texts with two opinions, a third of them negated by the word before; 5 % of the labels are wrong."""
    generator = np.random.default_rng(1)
    words, share = _words(generator, 1500, 2, 8), _rarity(1500)
    opinion = {True: _words(generator, 30, 4, 9), False: _words(generator, 30, 4, 9)}
    texts, labels = [], []
    for _ in range(6_000):
        good, sentence = bool(generator.random() < 0.5), generator.choice(words, 10, p=share).tolist()
        for _ in range(2):
            negated = bool(generator.random() < 1 / 3)
            word = str(generator.choice(opinion[good is not negated]))
            sentence.insert(int(generator.integers(0, len(sentence) + 1)), f"not {word}" if negated else word)
        texts.append(" ".join(sentence))
        labels.append("good" if good is (generator.random() >= 0.05) else "bad")
    return pd.DataFrame({"label": labels, "text": texts})


def intents() -> pd.DataFrame:
    """Return requests of thirty kinds, few of each, with one or two keywords, of which 15 % are of any kind."""
    generator, kinds = np.random.default_rng(2), 30
    words, share = _words(generator, 800, 2, 8), _rarity(800)
    keywords, frequency = [_words(generator, 12, 3, 9) for _ in range(kinds)], generator.dirichlet(np.full(kinds, 2))
    texts, labels = [], []
    for _ in range(3_000):
        kind, sentence = int(generator.choice(kinds, p=frequency)), generator.choice(words, 6, p=share).tolist()
        for _ in range(int(generator.integers(1, 3))):
            other = kind if generator.random() < 0.85 else int(generator.integers(0, kinds))
            sentence.insert(int(generator.integers(0, len(sentence) + 1)), str(generator.choice(keywords[other])))
        labels.append(f"intent {kind}")
        texts.append(" ".join(sentence))
    return pd.DataFrame({"label": labels, "text": texts})


def goods() -> pd.DataFrame:
    """Return titles of goods: brands, a code with a prefix of the kind in half of them, sizes; 3 % wrong labels."""
    generator, kinds = np.random.default_rng(4), 12
    brands, noise = _words(generator, 60, 4, 8), _words(generator, 200, 3, 7)
    prefixes = [["".join(generator.choice(list("ABCDEFGHKLM"), 2)) for _ in range(4)] for _ in range(kinds)]
    share, materials = generator.dirichlet(np.full(60, 0.3), kinds), [_words(generator, 5, 4, 8) for _ in range(kinds)]
    texts, labels = [], []
    for _ in range(5_000):
        kind = int(generator.integers(0, kinds))
        parts = [str(generator.choice(brands, p=share[kind])), *generator.choice(noise, 3).tolist()]
        if generator.random() < 0.5:
            parts.append(f"{generator.choice(prefixes[kind])}{generator.integers(100, 9999)}")
        if generator.random() < 0.4:
            parts.append(str(generator.choice(materials[kind])))
        parts.append(f"{generator.integers(1, 99)} {generator.choice(['cm', 'kg', 'l', 'pcs'])}")
        texts.append(" ".join(generator.permutation(parts)))
        labels.append(f"kind {kind if generator.random() >= 0.03 else generator.integers(0, kinds)}")
    return pd.DataFrame({"label": labels, "text": texts})


def _words(generator: np.random.Generator, count: int, shortest: int, end: int) -> list[str]:
    return ["".join(generator.choice(LETTERS, generator.integers(shortest, end))) for _ in range(count)]


def _rarity(count: int) -> Array:
    """Return probabilities by Zipf's law."""
    share = 1 / np.arange(1, count + 1)
    return np.asarray(share / share.sum())


def _mirror(name: str) -> Path:
    return Path(os.environ["TILTYARD_MIRROR"], name)


SETS: dict[str, Callable[[], pd.DataFrame]] = {
    "SMS, spam or not": spam,
    "generated, 8 topics": topics,
    "generated, opinions with negation": opinions,
    "generated, 30 kinds of requests": intents,
    "generated, titles of 12 kinds of goods": goods,
    "film reviews, good or bad": reviews,
}
