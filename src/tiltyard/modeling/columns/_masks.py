"""Masked words of a text: where a model has to predict them, as in the pre-training of BERT."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.columns._vocabulary import PAD, UNKNOWN

MASK = "[MASK]"  # as clients write it; brackets are words of their own, so that no other word equals it
SHOWN = 0.1  # share of the words to predict that training shows, and of those that it replaces by any other word
SIGN = "\ue000"  # stands for MASK while a text is split into words: a character of private use


def count(words: int, share: float) -> int:
    """Return how many of so many words are masked."""
    return max(1, round(share * words))


def places(words: Sequence[str], share: float) -> list[int]:
    """Return the places of the masked words: those that the text says, else a share of all.

    They are chosen by a checksum of the text, so that a text is always masked in the same way.
    """
    given = [place for place, word in enumerate(words) if word == MASK]
    if given or not words:
        return given
    generator = np.random.default_rng(zlib.crc32(" ".join(words).encode()))
    return sorted(generator.permutation(len(words))[: count(len(words), share)].tolist())


def masked(words: Sequence[str], share: float) -> list[str]:
    """Return the words with MASK at these places."""
    hidden = {*places(words, share)}
    return [MASK if place in hidden else word for place, word in enumerate(words)]


def unmasked(features: Array, targets: Array, mask: int) -> Array:
    """Return encoded texts with their own words again; masked words that are unknown have no target."""
    hidden = features >= mask
    slots = np.maximum(np.cumsum(hidden, axis=1) - 1, 0)
    words = np.take_along_axis(targets, slots, axis=1)
    return np.where(hidden, np.where(words == PAD, UNKNOWN, words), features)


def masked_anew(
    features: Array, targets: Array, share: float, mask: int, generator: np.random.Generator
) -> tuple[Array, Array]:
    """Return encoded texts in which other known words are to be predicted, and these words as targets.

    Most are masked; a tenth is shown, and a tenth replaced, so that outputs at words without a mask are learned, too.
    The ids of both are larger than that of the mask, by which the network knows what to predict.
    """
    ids = unmasked(features, targets, mask)
    known, words = ids > UNKNOWN, (ids != PAD).sum(axis=1)
    scores = np.where(known, generator.random(ids.shape), 2.0)
    ranks = np.argsort(np.argsort(scores, axis=1, kind="stable"), axis=1, kind="stable")
    chosen = (ranks < np.maximum(1, np.round(share * words))[:, None]) & known
    rows, steps = np.nonzero(chosen)
    masked_words = np.full_like(targets, PAD)
    masked_words[rows, (np.cumsum(chosen, axis=1) - 1)[rows, steps]] = ids[rows, steps]
    kind = generator.random(ids.shape)
    other = generator.integers(UNKNOWN + 1, mask, ids.shape)
    asked = np.where(kind < SHOWN, mask + ids, np.where(kind < 2 * SHOWN, mask + other, mask))
    return np.where(chosen, asked, ids).astype(features.dtype), masked_words
