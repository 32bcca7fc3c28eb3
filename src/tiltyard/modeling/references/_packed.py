"""The parts of a row with several kinds of columns, as references read them: texts, images, and all other features."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.references.base import Subject
from tiltyard.modeling.references.image_grids import ImageGrids
from tiltyard.modeling.references.text_ngrams import TextNgrams

MAX_PIXELS = 2048  # of an image whose pixels a linear model reads, beside the histograms


class Packed:
    """The texts, the images and the other features of packed rows."""

    def __init__(self, subject: Subject) -> None:
        encoder = subject.encoder
        self.spans = encoder.spans
        kinds = {name: column.branch for name, column in encoder.columns.items()}
        self.texts = {name: TextNgrams(_alone(subject, name)) for name, kind in kinds.items() if kind == "text"}
        self.images = {name: ImageGrids(_alone(subject, name)) for name, kind in kinds.items() if kind == "image"}
        self.shapes = {name: encoder.columns[name].feature_shape(encoder.fitted[name]) for name in self.images}
        mean, std = (np.array(part, dtype=np.float32) for part in encoder.widened_scaling())
        inside = np.zeros(len(mean), dtype=bool)
        for name in (*self.texts, *self.images):
            inside[self.spans[name]] = True
        self.others = np.flatnonzero(~inside).tolist()
        self.mean, self.std = mean[self.others], std[self.others]

    def read_words(self, features: Array) -> None:
        """Learn the n-grams of texts that the task reads in another way."""
        for name, text in self.texts.items():
            text.read_words(features[:, self.spans[name]])

    def words(self, features: Array, name: str) -> Any:
        """Return the sparse TF-IDF matrix of a text column."""
        return self.texts[name].derived(features[:, self.spans[name]])

    def standardised(self, features: Any) -> Any:
        """Return all other features as the network reads them."""
        return (np.take(features, self.others, axis=1) - self.mean) / self.std

    def pixels(self, features: Any, name: str, ops: Any = np) -> Any:
        """Return an image column in its shape."""
        return ops.reshape(features[:, self.spans[name]], (-1, *self.shapes[name]))

    def is_small(self, name: str) -> bool:
        """Return whether a linear model reads the pixels of an image column."""
        return int(np.prod(self.shapes[name])) <= MAX_PIXELS

    def picture(self, features: Array, name: str) -> Array:
        """Return histograms of an image column, and its pixels if they are few."""
        pixels, image = self.pixels(features, name), self.images[name]
        flat = [self._flat(pixels, image)] if self.is_small(name) else []
        return np.concatenate([image.derived(pixels), *flat], axis=1)

    def _flat(self, pixels: Array, image: ImageGrids) -> Array:
        (_, (std,)) = image.subject.encoder.scaling()
        return pixels.reshape(len(pixels), -1) / np.float32(std)


def _alone(subject: Subject, name: str) -> Subject:
    """Return a task with one column only, whose value is a whole row."""
    encoder = subject.encoder
    alone = replace(
        encoder,
        columns={name: encoder.columns[name]},
        fitted={name: encoder.fitted[name]},
        bare=True,
        derived={},
        derived_fitted={},
    )
    return replace(subject, modality=encoder.columns[name].branch, encoder=alone)


def learned_scale(matrix: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of dense features; 1 for those that hardly vary."""
    mean, std = matrix.mean(axis=0), matrix.std(axis=0)
    return mean, np.where(std < 1e-4, 1.0, std)
