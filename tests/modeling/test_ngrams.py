"""Texts as n-grams: which there are, ids and weights, and the bounds of what clients send."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference_subjects import case

from tiltyard.arrays import Array, Fitted
from tiltyard.explain.math.masking import WordMask
from tiltyard.modeling.columns import _vocabulary
from tiltyard.modeling.columns._vocabulary import PAD, UNKNOWN
from tiltyard.modeling.columns.text import Text
from tiltyard.modeling.references.text_ngrams import (
    CHARACTERS,
    HELD_OUT,
    MIN_ROWS,
    SCALES,
    STRENGTHS,
    TextNgrams,
)

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


def test_settings_are_chosen_by_rows_that_are_held_out() -> None:
    """The least loss of the penalties and scales that are tried, then of the weights of characters."""
    subject, features, truth = case("n-grams")
    reference = TextNgrams(subject)
    derived = reference.derived(features)
    strength, characters, scale = reference._settings(derived, truth)
    held_out = np.arange(len(truth)) % HELD_OUT == 0

    def loss(strength: float, characters: float, scale: float) -> float:
        weights, bias = reference._fitted(derived[~held_out], truth[~held_out], strength, characters)
        return subject.loss(truth[held_out], scale * (derived[held_out] @ weights + bias))

    chosen = loss(strength, characters, scale)
    assert chosen <= min(loss(one, 1.0, other) for one in STRENGTHS for other in SCALES)
    assert chosen <= min(loss(strength, one, other) for one in CHARACTERS for other in SCALES)


def test_settings_are_fixed_for_few_rows() -> None:
    """A fifth of them is too few to choose."""
    subject, features, truth = case("n-grams")
    reference, rows = TextNgrams(subject), MIN_ROWS - 1
    fixed = (STRENGTHS[0], CHARACTERS[0], 1.0)
    assert reference._settings(reference.derived(features[:rows]), truth[:rows]) == fixed


def test_scores_are_scaled_and_labels_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scale changes probabilities, and not which label has the largest."""
    subject, features, truth = case("n-grams")
    scores = []
    for scale in (1.0, 3.0):
        reference = TextNgrams(subject)
        monkeypatch.setattr(reference, "_settings", lambda *_, scale=scale: (10.0, 0.3, scale))
        reference.fit(features, truth)
        scores.append(reference.scores(features))
    assert np.allclose(scores[1], 3 * scores[0])


def test_weight_of_characters_is_in_the_learned_weights() -> None:
    """Characters without weight have no influence, though the graph reads them as before."""
    subject, features, truth = case("n-grams")
    reference = TextNgrams(subject)
    weights, _ = reference._fitted(reference.derived(features), truth, 10.0, 0.0)
    characters = reference.idf[:, 1] > 0
    assert characters.any()
    assert not weights[characters].any()
    assert weights[reference.idf[:, 0] > 0].any()
