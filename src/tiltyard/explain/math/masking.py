"""Masking for perturbation-based explanations: remove words from a text, grey out patches of an image.

A mask is boolean, (rows, pieces): True for kept pieces.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tiltyard.arrays import Array, Fitted, Rows
from tiltyard.modeling.columns._vocabulary import PAD, UNKNOWN
from tiltyard.modeling.columns.text import Text
from tiltyard.modeling.inference.encoder import Encoder


@dataclass(frozen=True)
class WordMask:
    """The words, or characters, of one text, and their ids as the model reads them: (length,)."""

    pieces: list[str]
    ids: Array
    column: Text = field(default_factory=Text)
    fitted: Fitted = field(default_factory=dict)

    @classmethod
    def of(cls, encoder: Encoder, row: Rows, name: str = "") -> WordMask:
        """Return the words that the model reads of one row, in a column if there are several."""
        name = name or next(iter(encoder.columns))
        column, fitted = encoder.columns[name], encoder.fitted[name]
        assert isinstance(column, Text)  # noqa: S101 - for the type checker: the column holds texts
        text = column.to_json(row[name])[0]
        pieces = [*text] if column.by == "characters" else text.split()
        return cls(pieces, column.encode(row[name], fitted)[0], column, fitted)

    def keep(self, masks: Array) -> Array:
        """Return the ids of texts whose kept words move together; an empty text becomes one unknown word."""
        if self.column.by == "ngrams":  # they span words, so the remaining words are encoded again
            words = np.array(self.pieces, dtype=object)
            return self.column.encode(np.array([" ".join(words[chosen]).encode() for chosen in masks]), self.fitted)
        texts = np.full((len(masks), len(self.ids)), PAD, dtype=np.float32)
        for text, mask in zip(texts, masks, strict=True):
            remaining = self.ids[: len(self.pieces)][mask]
            text[: max(len(remaining), 1)] = remaining if len(remaining) else UNKNOWN
        return texts


@dataclass(frozen=True)
class PatchMask:
    """An image (height, width, channels), the index of the patch of each pixel, and the neutral grey."""

    image: Array
    patches: Array
    grey: float

    @classmethod
    def of(cls, image: Array, sides: int, grey: float) -> PatchMask:
        """Cut an image into `sides` patches down and across, or into pixels if it has fewer."""
        down, across = (np.arange(size) * min(sides, size) // size for size in image.shape[:2])
        return cls(image, down[:, None] * (int(across[-1]) + 1) + across, grey)

    @property
    def count(self) -> int:
        """The number of patches."""
        return int(self.patches.max()) + 1

    def keep(self, masks: Array) -> Array:
        """Return images in which all patches that are not kept are grey."""
        images: Array = np.where(masks[:, self.patches][..., None], self.image, self.grey).astype(np.float32)
        return images

    def spread(self, weights: Array) -> Array:
        """Return for each pixel the weight of its patch."""
        spread_weights: Array = weights[self.patches]
        return spread_weights
