"""Leaving out: a text without some of its words, a picture with some of its patches grey, so that a model may be asked.

What is kept comes as (rows, pieces), true or false.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.modeling.columns._vocabulary import PAD, UNKNOWN
from tiltyard.modeling.columns.text import Text
from tiltyard.modeling.inference.encoder import Encoder


@dataclass(frozen=True)
class WordMask:
    """The words of one text, or its characters, and their ids as the model reads them: (length,)."""

    spelled: list[str]
    ids: Array

    @classmethod
    def of(cls, encoder: Encoder, row: Rows) -> WordMask:
        """Take the words that a model reads of one row."""
        ((name, column),) = encoder.columns.items()
        assert isinstance(column, Text)  # noqa: S101 - for the type checker: the columns of a text are texts
        text = column.to_json(row[name])[0]
        return cls(text.split() if column.by == "words" else [*text], encoder.encode(row)[0])

    def keep(self, kept: Array) -> Array:
        """Return the ids of texts in which what is left moves together; one that is empty is one unknown word."""
        found = np.full((len(kept), len(self.ids)), PAD, dtype=np.float32)
        for text, chosen in zip(found, kept, strict=True):
            left = self.ids[: len(self.spelled)][chosen]
            text[: max(len(left), 1)] = left if len(left) else UNKNOWN
        return found


@dataclass(frozen=True)
class PatchMask:
    """A picture (height, width, channels), the patch that each of its pixels is in, and a colour that says nothing."""

    picture: Array
    places: Array
    grey: float

    @classmethod
    def of(cls, picture: Array, sides: int, grey: float) -> PatchMask:
        """Cut a picture into so many patches down and across, or into pixels if it has fewer."""
        down, across = (np.arange(size) * min(sides, size) // size for size in picture.shape[:2])
        return cls(picture, down[:, None] * (int(across[-1]) + 1) + across, grey)

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.places.max()) + 1

    def keep(self, kept: Array) -> Array:
        """Return pictures in which all other patches are grey."""
        found: Array = np.where(kept[:, self.places][..., None], self.picture, self.grey).astype(np.float32)
        return found

    def spread(self, weights: Array) -> Array:
        """Return the weight of the patch of each pixel."""
        found: Array = weights[self.places]
        return found
