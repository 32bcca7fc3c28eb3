"""Texts as n-grams: which there are, ids and weights, and the bounds of what clients send."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tiltyard.arrays import Array, Fitted
from tiltyard.explain.math.masking import WordMask
from tiltyard.modeling.columns import _vocabulary
from tiltyard.modeling.columns._vocabulary import PAD, UNKNOWN
from tiltyard.modeling.columns.text import Text

TEXTS = ["win money now", "see you at lunch", "win a prize now", "lunch at home", "winning money at home"]


def fitted_column(**settings: int) -> tuple[Text, Fitted, Array]:
    """Return a column fitted to TEXTS, through JSON as in encoder.json, and the parsed texts."""
    column = Text.model_validate({"by": "ngrams", "at_least": 1, **settings})
    values = column.parse(TEXTS, "text")
    return column, json.loads(json.dumps(column.fit(values))), values


def test_ngrams_are_words_pairs_and_characters() -> None:
    """Each occurs once; characters include the blank at both ends of a word; single signs have no characters."""
    assert _vocabulary.ngrams(["ab", "!", "ab"]) == [
        *("ab", "!", "ab !", "! ab"),
        *(MARK + gram for gram in (" a", "ab", "b ", " ab", "ab ", " ab ")),
    ]


MARK = _vocabulary.MARK


def test_words_share_the_characters_of_their_stem() -> None:
    """A word that no training row has is read by its characters."""
    column, fitted, _ = fitted_column()
    ids = fitted["ids"]
    encoded = column.encode(column.parse(["winner"], "text"), fitted)[0]
    assert ids[MARK + " win"] in encoded
    assert UNKNOWN not in encoded
    assert "winner" not in ids


def test_text_without_known_ngrams_is_unknown() -> None:
    """It is one unknown id without weight, as a missing text."""
    column, fitted, _ = fitted_column()
    encoded = column.encode(column.parse(["@"], "text"), fitted)
    assert encoded[0].tolist() == [UNKNOWN, *[PAD] * (fitted["width"] - 1)]
    assert column.token_weights(fitted)[UNKNOWN] == (0.0, 0.0)


def test_weights_fall_with_frequency_and_are_of_one_group() -> None:
    """The rarest n-grams weigh most; each has a weight as a word or as characters, not both."""
    column, fitted, _ = fitted_column()
    weights = dict(zip(["", "?", *fitted["ids"]], column.token_weights(fitted), strict=True))
    assert weights["prize"][0] > weights["at"][0] > 1
    assert weights[MARK + "lu"] == (0.0, weights[MARK + "lu"][1])
    assert len(weights) == column.vocabulary_size(fitted)


def test_vocabulary_and_width_are_bounded() -> None:
    """The most frequent n-grams are kept, and a text of many long words has as many ids as the longest training row."""
    column, fitted, values = fitted_column(vocabulary=9)
    assert len(fitted["ids"]) == 9
    column, fitted, values = fitted_column()
    huge = column.encode(column.parse([" ".join(TEXTS) * 500, "x" * 100_000], "text"), fitted)
    assert huge.shape == (2, fitted["width"])
    assert len({*_vocabulary.ngrams([f"w{place:038}" for place in range(120)])}) < 120 * 2 + 60 * 4 * 40
    assert column.encode(values, fitted).max() < column.vocabulary_size(fitted)


@given(st.lists(st.text(max_size=60), min_size=1, max_size=5))
def test_any_text_is_encoded(texts: list[str]) -> None:
    """Ids are of the vocabulary, padding is at the end, and no text is all padding."""
    column = Text.model_validate({"by": "ngrams", "missing": "empty"})
    _, fitted, _ = fitted_column()
    encoded = column.encode(column.parse(texts, "text"), fitted)
    assert ((encoded >= 0) & (encoded < column.vocabulary_size(fitted))).all()
    assert (encoded[:, 0] != PAD).all()
    assert (np.diff((encoded == PAD).astype(int), axis=1) >= 0).all()


def test_masked_words_are_read_again() -> None:
    """For an explanation, the remaining words are encoded as a text of their own."""
    column, fitted, _ = fitted_column()
    mask = WordMask(["win", "money", "now"], np.zeros(1), column, fitted)
    kept = mask.keep(np.array([[True, False, True], [False, False, False]]))
    assert np.array_equal(kept, column.encode(column.parse(["win now", "@"], "text"), fitted))
