"""Boosted trees of the other features of a row, beside the scores that linear models give its texts and images.

Trees cannot read thousands of n-grams or pixels. A linear model of each text and image says what it alone tells of the
target. The scores of a training row come from models of other rows, so that its own target is not in them.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.references._packed import Packed, learned_scale
from tiltyard.modeling.references.base import Reference, Subject
from tiltyard.modeling.references.boosted_trees import MAX_UNITS, BoostedTrees
from tiltyard.modeling.references.linear import fit_linear

FOLDS = 5
STRENGTHS = {"text": 10.0, "image": 0.01}  # inverse penalties of the linear models
Weights = tuple[Array, Array]


class MixedTrees(BoostedTrees):
    """Trees read the other features, then a score of each label from each text and image."""

    title: ClassVar = "boosted trees of columns, and of linear scores of words and pixels"
    modalities: ClassVar = ("mixed",)
    max_rows: ClassVar = 20_000
    max_cells: ClassVar = 50_000_000
    max_width: ClassVar = 1 << 18

    scorers: dict[str, Weights]  # weights and bias of the linear model of each text and image

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.packed = Packed(subject)

    def applies(self, width: int) -> bool:
        """Whether it can be fitted: not to very many labels."""
        return Reference.applies(self, width) and self.subject.units <= MAX_UNITS

    def derived_width(self, width: int) -> int:
        """Return the width of a packed row, which bounds the rows: texts and images are fitted, too."""
        return width

    def fit(self, features: Array, truth: Array) -> None:
        """Fit linear models of texts and images, then trees of their scores for held-out rows."""
        self.packed.read_words(features)
        parts = {name: self._matrix(features, name) for name in (*self.packed.texts, *self.packed.images)}
        self.scorers = {name: self._scorer(name, matrix, truth) for name, matrix in parts.items()}
        held_out = [self._held_out(name, matrix, truth) for name, matrix in parts.items()]
        self.fit_trees(np.concatenate([features[:, self.packed.others], *held_out], axis=1), truth)

    def derived(self, features: Any, ops: Any = np) -> Any:
        """Return the other features, and the scores of each text and image."""
        scores = [
            np.asarray(self._matrix(features, name) @ weights + bias) for name, (weights, bias) in self.scorers.items()
        ]
        return np.concatenate([features[:, self.packed.others], *scores], axis=1).astype(np.float32)

    def _matrix(self, features: Array, name: str) -> Any:
        return (self.packed.words if name in self.packed.texts else self.packed.picture)(features, name)

    def _scorer(self, name: str, matrix: Any, truth: Array) -> Weights:
        """Return weights and bias of a linear model; the scaling of an image's features is part of them."""
        subject, is_text = self.subject, name in self.packed.texts
        mean, std = (np.zeros(1), np.ones(1)) if is_text else learned_scale(matrix.astype(np.float64))
        scaled = matrix if is_text else (matrix - mean) / std
        weights, bias = fit_linear(
            scaled,
            subject.targets(truth),
            subject.units,
            subject.weights(truth),
            STRENGTHS["text" if is_text else "image"],
        )
        return (weights, bias) if is_text else (weights / std[:, None], bias - mean @ (weights / std[:, None]))

    def _held_out(self, name: str, matrix: Any, truth: Array) -> Array:
        """Return the scores of each row by a model of the rows of other folds."""
        fold = np.random.default_rng(0).permutation(len(truth)) % FOLDS
        scores = np.zeros((len(truth), self.subject.units))
        for number in range(FOLDS):
            rows = fold == number
            weights, bias = self._scorer(name, matrix[~rows], truth[~rows])
            scores[rows] = matrix[rows] @ weights + bias
        return scores
