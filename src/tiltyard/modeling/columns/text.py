"""Text column: token ids of words, characters or n-grams, by a vocabulary fitted to the training rows."""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import not_
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from tiltyard.arrays import Array, Fitted, is_missing
from tiltyard.errors import RequestError, format_value
from tiltyard.expectation import Expectation, not_null
from tiltyard.modeling.columns import _masks, _vocabulary
from tiltyard.modeling.columns._porter import stem
from tiltyard.modeling.columns._stop_words import ENGLISH
from tiltyard.modeling.columns._vocabulary import PAD, UNKNOWN, frequent_tokens
from tiltyard.modeling.columns.base import PLAIN, Column, Kind, Scale

LONGEST = 40  # characters of a word
# Control characters separate words. Punctuation, currency signs, emoji and characters of scripts without spaces are
# words of their own. These are ranges, so that every version of Python splits texts in the same way.
MARKS = (
    r"!-/:-@\[-`{-~\u00a1-\u00bf\u00d7\u00f7\u2000-\u206f\u20a0-\u20cf\u2100-\u2bff\u3000-\u30ff\u3400-\u9fff"
    r"\uf900-\ufaff\U0001f000-\U0001faff\U00020000-\U0003ffff"
)
MOST = 30  # marks on a character, as in Unicode's Stream-Safe Text Format: sorting them takes quadratic time
SIGNS = re.compile(rf"[\W\uff9e\uff9f]{{{MOST + 1},}}")  # matches all marks, and two letters that NFKC turns into marks
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
TOKEN = re.compile(rf"[{MARKS}]|[^\s\x00-\x1f\x7f-\x9f{MARKS}]{{1,{LONGEST}}}")
SHORT = 4096  # characters: of longer texts only the words that count are made


class Text(Column):
    """A column of texts in a natural language."""

    seconds_a_byte: ClassVar[float] = 2e-6
    branch: ClassVar[Kind] = "text"

    type: Literal["text"] = "text"
    vocabulary: int = Field(10_000, ge=1, le=1_000_000, description="How many of the most frequent words are learned.")
    length: int = Field(120, ge=1, le=10_000, description="How many words of a text are read.")
    # Defaults are not written, so that encoder.json, and with it a model's version, stays the same.
    by: Literal["words", "characters", "ngrams"] = Field(
        "words",
        exclude_if="words".__eq__,
        description="Unit of a token; length and vocabulary count tokens. ngrams: words, pairs of words, and 3 to 5 "
        "characters of a word, for the families ngrams, bow and reference; length counts words.",
    )
    keep: Literal["first", "last"] = Field(
        "first",
        exclude_if="first".__eq__,
        description="Which words of a longer text are read: last suits reviews.",
    )
    lower: bool = Field(True, description="Convert to lower case.")
    at_least: int = Field(2, ge=1, description="Training rows that a word must occur in; all others count as unknown.")
    missing: Literal["refuse", "empty"] = Field(
        "refuse", description="What to do with null or a text without words: refuse it, or read it as an empty text."
    )
    stop_words: Literal["english"] | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="Leave out frequent words that say little of a topic, such as the and of; negations stay.",
    )
    stem: Literal["porter"] | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="Take off English suffixes by Porter's algorithm: connected and connections become connect.",
    )
    masked: float = Field(
        0.0,
        ge=0,
        le=0.5,
        exclude_if=not_,
        description="Share of the words of a text that are masked, for the problem masked, which predicts them.",
    )

    @model_validator(mode="after")
    def _check_options(self) -> Text:
        if self.masked and self.by != "words":
            raise ValueError(f"masked: expected only for texts that are read by words; received it with by: {self.by}")
        for name in ("stop_words", "stem"):
            if not getattr(self, name):
                continue
            if self.by == "characters" or not self.lower:
                received = f"by: {self.by}, lower: {str(self.lower).lower()}"
                raise ValueError(f"{name}: expected only for words in lower case; received it with {received}")
            if self.masked:
                raise ValueError(
                    f"{name}: expected none for masked words, which are predicted as they are; received it"
                )
        return self

    @property
    def max_masks(self) -> int:
        """The maximum number of masked words in a text; 0 if none are masked."""
        return _masks.count(self.length, self.masked) if self.masked else 0

    def expectations(self, name: str) -> list[Expectation]:
        """Expect a text in every row, unless texts may be missing."""
        return [not_null(name)] if self.missing == "refuse" else []

    def read(self, cells: Sequence[object]) -> list[object]:
        """Return every cell as text."""
        return [None if is_missing(cell) else str(cell) for cell in cells]

    def seconds(self, values: Sequence[object]) -> float:
        """Estimate the seconds to parse texts; composed characters take longest."""
        seconds_per_word = 1e-5 if self.by == "ngrams" else 2e-6
        return seconds_per_word * sum(3 + len(value) for value in values if isinstance(value, str))

    def parse(self, values: Sequence[object], name: str) -> Array:
        """Parse texts to the words that the model reads, joined by blanks, in UTF-8."""
        texts = []
        for i, value in enumerate(values):
            words = self._words(value) if isinstance(value, str) else []
            if not words and (self.missing == "refuse" or not isinstance(value, str | None)):
                code = "no_words" if isinstance(value, str) else "wrong_type"
                raise RequestError(code, f"expected text; received {format_value(value)}", f"instances[{i}].{name}")
            if self.masked:
                words = self._with_masks(words, f"instances[{i}].{name}")
            texts.append(self._separator.join(words).encode())
        return np.array(texts, dtype=np.bytes_)

    def _with_masks(self, words: list[str], field: str) -> list[str]:
        """Return the words with [MASK] as one word; refuse more of them than the model can fill."""
        if (received := words.count(_masks.SIGN)) > self.max_masks:
            message = f"expected at most {self.max_masks} {_masks.MASK} in a text; received {received}"
            raise RequestError("too_many_masks", message, field)
        return [_masks.MASK if word == _masks.SIGN else word for word in words]

    def _words(self, text: str) -> list[str]:
        text = text.encode("utf-8", "replace").decode()  # JSON may hold lone surrogates
        text = text.replace(_masks.MASK, f" {_masks.SIGN} ") if self.masked else text
        text = normalized(text)
        text = normalized(text.lower()) if self.lower else text
        if self.by == "characters":
            cleaned = CONTROL.sub(" ", text).strip()
            return [*(cleaned[: self.length] if self.keep == "first" else cleaned[-self.length :]).strip()]
        if len(text) <= SHORT:  # all words at once, which is three times as fast
            tokens = TOKEN.findall(text)
            return tokens[: self.length] if self.keep == "first" else tokens[-self.length :]
        words = (match[0] for match in TOKEN.finditer(text))
        return [*(islice(words, self.length) if self.keep == "first" else deque(words, self.length))]

    @property
    def _separator(self) -> str:
        return "" if self.by == "characters" else " "

    def _split(self, value: bytes) -> list[str]:
        text = value.decode()
        return [*text] if self.by == "characters" else text.split()

    def _terms(self, value: bytes) -> list[str]:
        """Return the words that have ids: without stop words, and as stems, if the task says so."""
        words = self._split(value)
        if self.stop_words:
            words = [word for word in words if word not in ENGLISH]
        return [*map(stem, words)] if self.stem else words

    def fit(self, values: Array) -> Fitted:
        """Learn the words that occur in the most rows; ties in alphabetical order."""
        if self.by == "ngrams":
            texts = [self._terms(value) for value in _vocabulary.fitted_texts(values)]
            return _vocabulary.fit(texts, self.at_least, self.vocabulary)
        ranked = frequent_tokens(map(self._terms, values), self.at_least, self.vocabulary)
        return {"ids": {word: index for index, word in enumerate(ranked, start=UNKNOWN + 1)}}

    def encode(self, values: Array, fitted: Fitted) -> Array:
        """Return padded ids, which float32 holds exactly; a text without words is one unknown word."""
        encoded = np.full((len(values), *self.feature_shape(fitted)), PAD, dtype=np.float32)
        for row, value in zip(encoded, values, strict=True):
            ids = self._ids(value, fitted) or [UNKNOWN]
            row[: len(ids)] = ids
        return encoded

    def _ids(self, value: bytes, fitted: Fitted) -> list[int]:
        if self.by == "ngrams":
            return _vocabulary.encode(self._terms(value), fitted)
        words = self._terms(value)
        ids = [fitted["ids"].get(word, UNKNOWN) for word in words]
        for place in _masks.places(words, self.masked) if self.masked else ():
            ids[place] = self.mask_id(fitted)
        return ids

    def token_weights(self, fitted: Fitted) -> list[tuple[float, float]]:
        """Return the inverse document frequency of each id of an n-gram; empty for other tokens."""
        return _vocabulary.weights(fitted) if self.by == "ngrams" else []

    def scaling(self, fitted: Fitted) -> list[Scale]:
        """Return no scaling, since the features are ids."""
        return [PLAIN]

    def feature_shape(self, fitted: Fitted) -> tuple[int, ...]:
        """Return the number of ids of a padded text."""
        return (fitted["width"] if self.by == "ngrams" else self.length,)

    def vocabulary_size(self, fitted: Fitted) -> int:
        """Return the number of words, with unknown and padding, and the mask if there is one."""
        return len(fitted["ids"]) + 2 + bool(self.masked)

    def mask_id(self, fitted: Fitted) -> int:
        """Return the id of a masked word, which is the last."""
        return len(fitted["ids"]) + 2

    def masked_places(self, value: bytes) -> tuple[list[str], list[int]]:
        """Return the words of a parsed text, and the places of those that are masked."""
        words = self._split(value)
        return words, _masks.places(words, self.masked)

    def json_schema(self) -> dict[str, Any]:
        """Return the schema: text, or null if texts may be missing."""
        return {"type": "string" if self.missing == "refuse" else ["string", "null"]}

    def to_json(self, values: Array) -> list[Any]:
        """Return the texts with the words that were kept, as the model reads them."""
        if self.masked:
            return [" ".join(_masks.masked(self._split(value), self.masked)) for value in values.tolist()]
        return [value.decode() for value in values.tolist()]


def normalized(text: str) -> str:
    """Return a text in NFKC with at most 30 marks on a character; languages need fewer than ten."""
    if not text.isascii():
        text = SIGNS.sub(lambda match: "".join(_bounded(match[0])), text)
    return unicodedata.normalize("NFKC", text)


def _bounded(text: str) -> Iterator[str]:
    """Yield characters, with at most MOST consecutive marks."""
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(unicodedata.normalize("NFKD", character)[0]) else 0
        if marks <= MOST:
            yield character
