"""What each type of column makes of its values, checked against figures worked out by hand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tiltyard.arrays import Fitted
from tiltyard.errors import RequestError, format_value
from tiltyard.modeling.columns.base import Column, scale
from tiltyard.modeling.columns.boolean import Boolean
from tiltyard.modeling.columns.category import Category
from tiltyard.modeling.columns.date import Date
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.columns.text import Text


def taught(column: Column, values: list[Any]) -> Fitted:
    """Fit to training values."""
    return column.fit(column.parse(values, "x"))


def encoded(column: Column, fitted: Fitted, *values: object) -> list[list[float]]:
    """Encode values as they would be served."""
    result: list[list[float]] = column.encode(column.parse(values, "x"), fitted).tolist()
    return result


def refused(column: Column, value: object) -> tuple[str, str]:
    """Return code and message of a refusal."""
    with pytest.raises(RequestError) as caught:
        column.parse([value], "x")
    assert caught.value.field == "instances[0].x"
    return caught.value.code, caught.value.message


def test_a_missing_number_is_the_median_and_a_flag() -> None:
    """The median is of the values that are there; the flag alone tells it from a real one."""
    column = Number(missing="median")
    fitted = taught(column, [1, 2, None, 6])
    assert fitted == {"median": 2.0, "mean": 2.75, "std": pytest.approx(np.std([1, 2, 2, 6]))}
    assert encoded(column, fitted, 6, 2, None) == [[6, 0], [2, 0], [2, 1]]
    assert refused(Number(), None) == ("wrong_type", "expected a number; received null")
    assert refused(column, float("nan"))[0] == "not_finite"


def test_outliers_are_clipped_to_quantiles_of_the_training_rows() -> None:
    """What comes later is cut to the same two values, however far out it is."""
    column = Number(clip=(0.25, 0.75))
    fitted = taught(column, [0, 1, 2, 3, 1000])
    assert (fitted["low"], fitted["high"], fitted["mean"]) == (1, 3, 2)
    assert encoded(column, fitted, -1e9, 2.5, 1e9) == [[1], [2.5], [3]]


def test_a_logarithm_wants_no_negative_number() -> None:
    """Learned is log(1 + value); a value below 0 is refused, and so are bounds below it."""
    column = Number(log=True)
    assert encoded(column, taught(column, [0, 10]), np.e - 1.0)[0] == pytest.approx([1.0])
    assert refused(column, -0.5)[0] == "out_of_bounds"
    assert column.json_schema()["minimum"] == 0
    with pytest.raises(ValidationError, match="log: expected bounds of at least 0; received -1"):
        Number(log=True, bounds=(-1, 1))


@pytest.mark.parametrize("clip", [(0.9, 0.1), (0.5, 0.5), (-0.1, 0.5), (0.1, 1.5)])
def test_quantiles_rise_from_0_to_1(clip: tuple[float, float]) -> None:
    """Anything else cannot be meant."""
    with pytest.raises(ValidationError, match="clip: expected two quantiles from 0 to 1"):
        Number(clip=clip)


@pytest.mark.parametrize("value", [0.1, 1e-20, 123456.7, 0.0])
def test_rounding_is_no_deviation(value: float) -> None:
    """The deviation of three equal numbers may be 1e-17; scaling by it would blow up what float32 rounds."""
    assert scale(np.full(3, value))[1] == 1


@pytest.mark.parametrize(
    ("cell", "number"),
    [(" 12 ", 12.0), ("1e3", 1000.0), (7, 7), ("", None), ("NaN", None), (pd.NA, None), (None, None), (pd.NaT, None)],
)
def test_cells_of_numbers(cell: object, number: float | None) -> None:
    """Files spell numbers as text, and missing ones in several ways."""
    assert Number().read([cell]) == [number]


@pytest.mark.parametrize("cell", ["1_000", "12 m", True, "x", [1]])
def test_cells_that_are_no_numbers_stay_and_are_refused(cell: object) -> None:
    """Nothing is guessed; validation sees them as missing."""
    assert Number().read([cell]) == [cell]
    assert Number().facts([cell]) == [None]
    assert refused(Number(), cell)[0] == "wrong_type"


def test_the_commonest_categories_are_learned() -> None:
    """By how often they occur, then by name; all others share a place, and missing ones have their own."""
    column = Category(unseen="bucket", missing="bucket", top=2)
    fitted = taught(column, ["b", "c", "c", "a", None, "b", 7])
    assert fitted == {"values": ["b", "c"]}
    assert encoded(column, fitted, "c", "a", "new", None) == [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def test_ten_thousand_categories_do_not_explode() -> None:
    """They are refused if named, and become as many features as asked for if learned."""
    names = [f"name {i}" for i in range(10_000)]
    with pytest.raises(ValidationError, match="at most 1000; received 10000: leave `values` out, and set"):
        Category(values=list(names))
    column = Category(unseen="bucket")
    assert len(encoded(column, taught(column, names), "name 1")[0]) == 51


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, "expected the values that may occur, or `unseen: bucket`"),
        ({"values": ["a", 1, "1"]}, "expected each name once"),
        ({"values": ["a", ""]}, "none empty"),
        ({"values": ["a"], "top": 3}, "top: expected only if values are learned"),
    ],
)
def test_categories_that_cannot_be_meant(settings: dict[str, Any], complaint: str) -> None:
    """The message says what to write."""
    with pytest.raises(ValidationError, match=complaint):
        Category(**settings)


def test_cells_of_categories() -> None:
    """Names are text whatever a reader of files made of them."""
    cells = ["a", 1, 1.0, 1.5, True, None, float("nan"), " "]
    assert Category(values=["a"]).read(cells) == ["a", "1", "1", "1.5", "true", None, None, None]


@pytest.mark.parametrize(("cells", "value"), [(["yes", " Y", "TRUE", 1, 1.0, "1.0", True], 1), (["no", "F", 0.0], 0)])
def test_booleans_have_many_spellings_in_files(cells: list[object], value: int) -> None:
    """And the same over REST."""
    assert Boolean().parse(Boolean().read(cells), "x").tolist() == [value] * len(cells)
    assert Boolean().read(["maybe", ""]) == ["maybe", None]
    assert Boolean().parse(["yes", " Y", "TRUE", 1, True], "x").tolist() == [1] * 5
    assert refused(Boolean(), "maybe") == ("wrong_type", "expected true or false; received 'maybe'")
    assert refused(Boolean(), 2)[0] == refused(Boolean(), 1.0)[0] == refused(Boolean(), None)[0] == "wrong_type"


def test_a_missing_boolean_has_a_feature() -> None:
    """It is neither true nor false."""
    column = Boolean(missing="bucket")
    assert encoded(column, {}, True, False, None) == [[1, 0], [0, 0], [0, 1]]


def test_a_date_is_days_year_and_cycles() -> None:
    """Monday, the first of April 2024, at six: a quarter of the year and of the day has passed, nothing of the week."""
    column = Date(format="%Y-%m-%d %H:%M", missing="median")
    fitted = taught(column, ["2024-03-31 18:00", None, "2024-04-01 06:00", "2024-04-03 06:00"])
    assert (fitted["first"], fitted["median"]) == ("2024-03-31T18:00:00.000000", "2024-04-01T06:00:00.000000")
    assert fitted["mean"] == [(0.0 + 0.5 + 0.5 + 2.5) / 4, 2024]
    (known, missing) = encoded(column, fitted, "2024-04-01 06:00", None)
    assert known == pytest.approx([0.5, 2024, 1, 0, 0, 1, 1, 0, 0], abs=1e-7)
    assert missing == [*known[:-1], 1]


def test_a_format_without_day_or_hour_has_fewer_features() -> None:
    """The weekday of a month, or the hour of a date, would be made up."""
    widths = [len(Date(format=text).scaling({"mean": [0, 0], "std": [1, 1]})) for text in ("%Y", "%Y-%m", "%Y-%m-%d")]
    assert widths == [2, 4, 6]


def test_dates_out_of_format_or_bounds_are_refused() -> None:
    """The message names the format, or the bounds."""
    column = Date(bounds=("2020-01-01", "2020-12-31"))
    assert refused(column, "01.02.2020") == ("bad_date", "expected a date as %Y-%m-%d; received '01.02.2020'")
    assert refused(column, 20200101)[0] == "wrong_type"
    assert refused(column, "2021-01-01") == (
        "out_of_bounds",
        "expected 2020-01-01 to 2020-12-31; received '2021-01-01'",
    )
    for bounds in (("2020-12-31", "2020-01-01"), ("2020", "2021")):
        with pytest.raises(ValidationError, match="bounds: expected two dates as %Y-%m-%d"):
            Date(bounds=bounds)
    with pytest.raises(ValidationError, match="format: expected directives"):
        Date(format="%c")


def test_words_are_learned_by_the_rows_they_occur_in() -> None:
    """The commonest first; rare words are one, and a text that has none is answered as one unknown word."""
    column = Text(length=4, vocabulary=3, missing="empty")
    fitted = taught(column, ["The cat", "the dog the the", "a cat!", "The dog!", None])
    assert fitted == {"ids": {"the": 2, "!": 3, "cat": 4}}  # as common as "dog", which comes later by name
    assert column.vocabulary_size(fitted) == 5
    assert encoded(column, fitted, "THE bird", "cat cat cat cat the", None) == [
        [2, 1, 0, 0],
        [4, 4, 4, 4],
        [1, 0, 0, 0],
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't!!", ["don", "'", "t", "!", "!"]),
        ("£1000 or 5€?", ["£", "1000", "or", "5", "€", "?"]),
        ("caf\N{LATIN SMALL LETTER E}\N{COMBINING ACUTE ACCENT} naïve", ["café", "naïve"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("日本語", ["日", "本", "語"]),
        ("so👍good", ["so", "👍", "good"]),
        ("a\x00b\x85c", ["a", "b", "c"]),
        ("\ud800x", ["?", "x"]),
        ("A" * 50, ["a" * 40, "a" * 10]),
    ],
)
def test_texts_are_cut_into_words(text: str, words: list[str]) -> None:
    """In scripts with and without spaces; signs stand for themselves, control characters for nothing."""
    assert Text().parse([text], "x").tolist() == [" ".join(words).encode()]


@given(texts=st.lists(st.text(st.characters()), min_size=1, max_size=3), new=st.text(st.characters()))
@settings(deadline=None)
def test_any_text_is_encoded(texts: list[str], new: str) -> None:
    """No text raises, each gives known ids and padding behind them, and its words parse to themselves."""
    column = Text(length=5, at_least=1, missing="empty")
    fitted = taught(column, [*texts])
    parsed = column.parse([*texts, new], "x")
    assert column.parse(column.to_json(parsed), "x").tolist() == parsed.tolist()
    for row in column.encode(parsed, fitted).tolist():
        assert row[0] > 0
        assert max(row) < column.vocabulary_size(fitted)
        assert all(first or not second for first, second in itertools.pairwise(row))


def test_a_text_without_words_is_refused_unless_it_may_be_missing() -> None:
    """As an empty cell is."""
    assert refused(Text(), " \0 ") == ("no_words", "expected text; received ' \\x00 '")
    assert refused(Text(), None) == ("wrong_type", "expected text; received null")
    assert refused(Text(missing="empty"), 5)[0] == "wrong_type"


def test_long_values_are_not_sent_back() -> None:
    """A refusal shows the beginning."""
    assert format_value("x" * 1000) == f"'{'x' * 99}..."
    assert [format_value(value) for value in (None, True, 1)] == ["null", "true", "1"]


def test_clients_are_told_of_dates_and_names() -> None:
    """A date as JSON Schema has it says so, another spelling its pattern alone; names worth choosing are examples."""
    assert Date().json_schema()["format"] == "date"
    assert "format" not in Date(format="%d.%m.%Y").json_schema()
    assert Category(values=["a", 1], unseen="bucket").json_schema()["examples"] == ["a", 1]
    assert "examples" not in Category(unseen="bucket").json_schema()
