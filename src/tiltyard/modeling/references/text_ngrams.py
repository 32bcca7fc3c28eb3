"""TF-IDF of words, pairs of words and characters with a linear model, for texts."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Fitted
from tiltyard.modeling.columns._vocabulary import PAD, UNKNOWN
from tiltyard.modeling.columns.text import Text
from tiltyard.modeling.references.base import Reference, Subject
from tiltyard.modeling.references.linear import fit_linear

VOCABULARY = 50_000  # n-grams, if the task reads texts in another way
STRENGTH = 10.0
TINY = 1e-6


class TextNgrams(Reference):
    """Scores are `normalised idf of the ids @ weights + bias`."""

    title: ClassVar = "TF-IDF of words and characters with a linear model"
    modalities: ClassVar = ("text",)
    max_cells: ClassVar = 2_000_000  # words, or n-grams

    weights: Array  # (ids, units)
    bias: Array

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        name, column = next(iter(subject.encoder.columns.items()))
        self.column, self.fitted = column, subject.encoder.fitted[name]
        self.refitted: Fitted | None = None  # the n-grams of known words, for a task that reads words or characters

    def applies(self, width: int) -> bool:
        """Whether it can be fitted: not to texts to be translated."""
        return super().applies(width) and self.subject.encoder.problem.targets != "text"

    def fit(self, features: Array, truth: Array) -> None:
        """Fit it to training rows."""
        if not self._reads_ngrams:
            self.refitted = self._ngram_column.fit(self._texts(features))
        subject = self.subject
        derived, targets = self.derived(features), subject.targets(truth)
        self.weights, self.bias = fit_linear(derived, targets, subject.units, subject.weights(truth), STRENGTH)

    def scores(self, features: Array) -> Array:
        """Return a logit for each label, or standardised numbers."""
        return np.asarray(self.derived(features) @ self.weights + self.bias)

    @property
    def idf(self) -> Array:
        """The two weights of each id before normalisation."""
        return np.array(self._ngram_column.token_weights(self.refitted or self.fitted), dtype=np.float32)

    def derived(self, features: Array) -> Any:
        """Return a sparse matrix with a column for each id."""
        from scipy.sparse import csr_matrix

        ids = features if self._reads_ngrams else self._ngram_column.encode(self._texts(features), self.refitted or {})
        ids, idf = ids.astype(np.int64), self.idf
        present, values = ids != PAD, normalised(idf[ids])
        ends = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
        return csr_matrix((values[present], ids[present], ends), shape=(len(ids), len(idf)))

    @property
    def _reads_ngrams(self) -> bool:
        return getattr(self.column, "by", "") == "ngrams"

    @property
    def _ngram_column(self) -> Text:
        length = getattr(self.column, "length", 1)
        return Text(by="ngrams", vocabulary=VOCABULARY, length=length, at_least=2)

    def _texts(self, features: Array) -> Array:
        """Return the known words of encoded texts, joined as the column joins them."""
        words = {place: word for word, place in self.fitted["ids"].items()}
        glue = "" if getattr(self.column, "by", "") == "characters" else " "
        rows = features.astype(np.int64).tolist()
        return np.array([glue.join(words[place] for place in row if place > UNKNOWN).encode() for row in rows])


def normalised(idf: Array) -> Array:
    """Return the weight of each n-gram: words and characters of a text are vectors of length 1 each."""
    lengths = np.sqrt(np.square(idf).sum(axis=1, keepdims=True) + TINY)
    return np.asarray((idf / lengths).sum(axis=2))
