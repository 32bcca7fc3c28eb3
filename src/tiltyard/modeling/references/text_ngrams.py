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
STRENGTHS = (10.0, 1.0, 100.0)  # inverse penalties that are tried: many weak n-grams need 1, a few strong ones 100
CHARACTERS = (1.0, 0.3)  # weights of characters beside words
SCALES = np.exp(np.arange(-4, 13) / 4).tolist()  # of scores: a penalty makes them small, and probabilities too cautious
HELD_OUT = 5  # one training row of so many chooses penalty and scale
MIN_ROWS = 200  # training rows; of fewer, too few would choose
TINY = 1e-6


class TextNgrams(Reference):
    """Scores are `normalised idf of the ids @ weights + bias`."""

    title: ClassVar = "TF-IDF of words and characters with a linear model"
    modalities: ClassVar = ("text",)
    max_cells: ClassVar = 10_000_000  # words, or n-grams
    refits: ClassVar = True

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
        self.read_words(features)
        derived = self.derived(features)
        strength, characters, scale = self._settings(derived, truth)
        weights, bias = self._fitted(derived, truth, strength, characters)
        self.weights, self.bias = weights * scale, bias * scale

    def read_words(self, features: Array) -> None:
        """Learn n-grams of the known words, if the task reads texts in another way."""
        if not self._reads_ngrams:
            self.refitted = self._ngram_column.fit(self._texts(features))

    def _settings(self, derived: Any, truth: Array) -> tuple[float, float, float]:
        """Return penalty, weight of characters and scale of scores with the least loss on held-out training rows."""
        if len(truth) < MIN_ROWS:
            return STRENGTHS[0], CHARACTERS[0], 1.0
        strength, *_ = self._best(derived, truth, [(strength, CHARACTERS[0]) for strength in STRENGTHS])
        return self._best(derived, truth, [(strength, characters) for characters in CHARACTERS])

    def _best(self, derived: Any, truth: Array, tried: list[tuple[float, float]]) -> tuple[float, float, float]:
        losses = {(*one, scale): loss for one in tried for scale, loss in self._losses(derived, truth, *one)}
        return min(losses, key=losses.__getitem__)

    def _losses(self, derived: Any, truth: Array, strength: float, characters: float) -> list[tuple[float, float]]:
        """Return the loss on held-out rows for each scale; numbers are not scaled."""
        held_out = np.arange(len(truth)) % HELD_OUT == 0
        weights, bias = self._fitted(derived[~held_out], truth[~held_out], strength, characters)
        scores = np.asarray(derived[held_out] @ weights + bias)
        scales = SCALES if self.subject.classes or self.subject.several else (1.0,)
        return [(scale, self.subject.loss(truth[held_out], scores * scale)) for scale in scales]

    def _fitted(self, derived: Any, truth: Array, strength: float, characters: float) -> tuple[Array, Array]:
        """Fit with characters that have this weight beside words, by which their weights are multiplied in turn."""
        from scipy.sparse import diags

        subject, relative = self.subject, np.where(self.idf[:, 1] > 0, characters, 1.0)
        scaled = derived @ diags(relative)
        weights, bias = fit_linear(scaled, subject.targets(truth), subject.units, subject.weights(truth), strength)
        return weights * relative[:, None], bias

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
