"""A linear model of all parts of a row: TF-IDF of its texts, pixels and histograms of its images, other features."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.references._packed import Packed, learned_scale
from tiltyard.modeling.references.base import Reference, Subject
from tiltyard.modeling.references.linear import fit_linear

STRENGTHS = (10.0, 0.01, 1.0, 100.0)  # inverse penalties that are tried: pixels need small ones, n-grams large ones
HELD_OUT = 5  # one training row of so many chooses the penalty
MIN_ROWS = 200  # training rows; of fewer, too few would choose


class MixedLinear(Reference):
    """Scores are `TF-IDF of each text @ its weights + dense features @ weights + bias`."""

    title: ClassVar = "a linear model of words, pixels and columns"
    modalities: ClassVar = ("mixed",)
    max_cells: ClassVar = 50_000_000
    max_width: ClassVar = 1 << 18
    refits: ClassVar = True

    words: dict[str, Array]  # the weights of each text column: (ids, units)
    weights: Array  # of the dense features
    bias: Array

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.packed = Packed(subject)

    def dense(self, features: Array) -> Array:
        """Return the features that are not words: columns, histograms and pixels."""
        images = [self.packed.picture(features, name) for name in self.packed.images]
        return np.concatenate([self.packed.standardised(features), *images], axis=1)

    def fit(self, features: Array, truth: Array) -> None:
        """Fit it to training rows; the scaling of the dense features becomes part of their weights."""
        from scipy.sparse import csr_matrix, hstack

        self.packed.read_words(features)
        dense = self.dense(features).astype(np.float64)
        mean, std = learned_scale(dense)
        texts = [self.packed.words(features, name) for name in self.packed.texts]
        scaled = (dense - mean) / std
        matrix = hstack([*texts, csr_matrix(scaled)], format="csr") if texts else scaled
        weights, bias = self._fitted(matrix, truth, self._strength(matrix, truth))
        *of_texts, of_dense = np.split(weights, np.cumsum([text.shape[1] for text in texts]))
        self.words = dict(zip(self.packed.texts, of_texts, strict=True))
        self.weights = of_dense / std[:, None]
        self.bias = bias - mean @ self.weights

    def _strength(self, matrix: Any, truth: Array) -> float:
        """Return the inverse penalty with the least loss on held-out training rows."""
        if len(truth) < MIN_ROWS:
            return STRENGTHS[0]
        held_out = np.arange(len(truth)) % HELD_OUT == 0

        def loss(strength: float) -> float:
            weights, bias = self._fitted(matrix[~held_out], truth[~held_out], strength)
            return self.subject.loss(truth[held_out], np.asarray(matrix[held_out] @ weights + bias))

        return min(STRENGTHS, key=loss)

    def _fitted(self, matrix: Any, truth: Array, strength: float) -> tuple[Array, Array]:
        subject = self.subject
        return fit_linear(matrix, subject.targets(truth), subject.units, subject.weights(truth), strength)

    def scores(self, features: Array) -> Array:
        """Return a logit for each label, or standardised numbers."""
        texts = (np.asarray(self.packed.words(features, name) @ weights) for name, weights in self.words.items())
        return np.asarray(sum(texts, self.dense(features) @ self.weights + self.bias))
