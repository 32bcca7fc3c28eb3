"""Combining marks: excessive runs are shortened before normalization, and no language is affected."""

from __future__ import annotations

import re
import sys
import unicodedata
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltyard.modeling.columns import text as text_column
from tiltyard.modeling.columns.text import MOST, SIGNS, Text, normalized

BY_CHARACTERS = Text(by="characters", length=10_000, lower=False)


def longest_mark_run(text: str) -> int:
    """Return the length of the longest run of combining marks after decomposition."""
    runs = groupby(unicodedata.normalize("NFKD", text), lambda one: unicodedata.combining(one) > 0)
    return max((len([*run]) for marked, run in runs if marked), default=0)


@pytest.mark.parametrize(
    "run",
    [
        "\u0301\u0316",
        "\u0316\u0301",
        "\u0344\u0334",
        "\u0f71\u0f72",
        "\u0f73\u0f74",
        "\uff9e\u0334",
        "\U0001d165\u0334",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("prefix", ["", "a", "\u00e9", " "])
def test_excessive_marks_are_removed(run: str, prefix: str) -> None:
    """Sorting marks takes quadratic time: a text of 128 kB took eight seconds."""
    (parsed,) = BY_CHARACTERS.parse([f"x{prefix}{run * 300}y"], "text")
    assert 1 < longest_mark_run(parsed.decode()) <= 2 * MOST  # some characters are two marks
    assert parsed.decode().endswith("y")


@pytest.mark.parametrize(
    "text",
    [
        "Tr\u0103m n\u0103m trong c\u00f5i ch\u1eef m\u1ec7nh kh\u00e9o l\u00e0 gh\u00e9t nhau",
        unicodedata.normalize("NFD", "ch\u1eef t\u00e0i ch\u1eef m\u1ec7nh kh\u00e9o l\u00e0 gh\u00e9t nhau " * 20),
        "\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48\u0e01\u0e47\u0e21\u0e35\u0e19\u0e49\u0e33\u0e43\u0e0a\u0e49" * 20,
        "\u0939\u093f\u0928\u094d\u0926\u0940 \u092e\u0947\u0902 \u0915\u0939\u093e\u0928\u093f\u092f\u093e\u0901" * 20,
        "\u05d1\u05bc\u05b0\u05e8\u05b5\u05d0\u05e9\u05c1\u05b4\u0596\u05d9\u05ea" * 20,
        "\u0f56\u0f7c\u0f51\u0f0b\u0f66\u0f90\u0f51\u0f0b \u0f67\u0fb9\u0fa8\u0fb3\u0fba\u0fbc\u0fbb\u0f82",
        "\uff76\uff9e\uff77\uff9e\uff78\uff9e\uff8a\uff9f" * 20,
        "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466\U0001f44d\U0001f3fd\u2764\ufe0f1\ufe0f\u20e3" * 40,
        "!" * 100 + " " * 100 + "\u2026" * 100 + "\u2500" * 100,
        "a" + "\u0301" * MOST,
    ],
    ids=[
        "Vietnamese",
        "decomposed",
        "Thai",
        "Hindi",
        "Hebrew",
        "Tibetan",
        "Japanese",
        "emoji",
        "signs",
        "maximum",
    ],
)
def test_texts_of_languages_are_unchanged(text: str) -> None:
    """No language has nearly as many marks on one character."""
    assert normalized(text) == unicodedata.normalize("NFKC", text)


def test_every_mark_is_in_the_pattern() -> None:
    """The pattern has all Unicode characters that decompose to marks, as known to this version of Python."""
    every = map(chr, range(0x80, sys.maxunicode + 1))
    all_marks = [one for one in every if unicodedata.combining(unicodedata.normalize("NFKD", one)[0])]
    assert len(all_marks) > 800
    assert re.fullmatch(f"(?:{SIGNS.pattern})", "".join(all_marks))


@given(text=st.text(max_size=300), length=st.integers(1, 20), keep=st.sampled_from(["first", "last"]))
def test_words_of_short_texts_are_those_of_long_ones(text: str, length: int, keep: str) -> None:
    """Short texts are split as a whole, of long ones only the words that count."""
    column = Text.model_validate({"length": length, "keep": keep})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_column, "SHORT", -1)
        expected = column._words(text)
    assert column._words(text) == expected
