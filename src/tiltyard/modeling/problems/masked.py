"""Masked words: predict the words of a text that are replaced by [MASK], as in the pre-training of BERT.

Metrics use three numbers for each row: the sum of the negative log probabilities of its masked words, how many were
predicted correctly, and how many there are. Masked words that the vocabulary lacks are not counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.modeling.columns._vocabulary import PAD, UNKNOWN
from tiltyard.modeling.columns.text import Text
from tiltyard.modeling.problems.base import FittedEncoder, Run, Target
from tiltyard.modeling.problems.generation import Generation

SIGN = "\ue000"  # before a masked word, in what the baseline reads
UNKNOWN_WORD = "\ue001"  # in place of a word that the vocabulary lacks


class Masked(Generation):
    """A softmax over the words at every masked step; the truth is the text."""

    def ids(self, encoder: FittedEncoder, truth: Array) -> Array:
        """Return the ids of the masked words of each text, in order; 0 for unknown words and after the last."""
        name, column = _text(encoder)
        vocabulary = encoder.fitted[name]["ids"]
        ids = np.full((len(truth), column.max_masks), PAD, dtype=np.int32)
        for row, text in zip(ids, truth.tolist(), strict=True):
            words, places = column.masked_places(text)
            row[: len(places)] = [vocabulary.get(words[place], PAD) for place in places]
        return ids

    def baseline_truth(self, encoder: FittedEncoder, truth: Array) -> Array:
        """Return the texts with a sign before each masked word, and with one word in place of all unknown ones."""
        name, column = _text(encoder)
        vocabulary, texts = encoder.fitted[name]["ids"], []
        for text in truth.tolist():
            words, places = column.masked_places(text)
            known = [word if word in vocabulary else UNKNOWN_WORD for word in words]
            for place in places:
                known[place] = SIGN + known[place] if known[place] != UNKNOWN_WORD else UNKNOWN_WORD
            texts.append(" ".join(known).encode())
        return np.array(texts, dtype=np.bytes_)

    def respond(self, encoder: FittedEncoder, run: Run, rows: Rows) -> list[Any]:
        """Return each text with the most probable word at each [MASK]."""
        name, column = _text(encoder)
        words_by_id = {index: word for word, index in encoder.fitted[name]["ids"].items()}
        likeliest = run(rows)[:, :, UNKNOWN + 1 : column.mask_id(encoder.fitted[name])].argmax(axis=2) + UNKNOWN + 1
        texts = []
        for ids, value in zip(likeliest.tolist(), rows[name].tolist(), strict=True):
            words, places = column.masked_places(value)
            for place, index in zip(places, ids, strict=False):  # the model has outputs for the most masks
                words[place] = words_by_id[index]
            texts.append(" ".join(words))
        return self.decode(np.array(texts, dtype=np.str_), [])

    def purpose(self, target: Target) -> str:
        """Return the phrase for masked words."""
        return "the text with the most probable word in place of each [MASK]"


def _text(encoder: FittedEncoder) -> tuple[str, Text]:
    ((name, column),) = encoder.columns.items()
    assert isinstance(column, Text)  # noqa: S101 - for the type checker: a task is refused otherwise
    return name, column
