"""Encoding of values by each column type, checked by hand."""

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
from tiltyard.modeling.columns import date
from tiltyard.modeling.columns.base import Column, scale
from tiltyard.modeling.columns.boolean import Boolean
from tiltyard.modeling.columns.category import Category
from tiltyard.modeling.columns.date import Date
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.columns.text import Text


def fit_values(column: Column, values: list[Any]) -> Fitted:
    """Fit the column to training values."""
    return column.fit(column.parse(values, "x"))


def encode_values(column: Column, fitted: Fitted, *values: object) -> list[list[float]]:
    """Encode values as they would be encoded for serving."""
    result: list[list[float]] = column.encode(column.parse(values, "x"), fitted).tolist()
    return result


def rejection(column: Column, value: object) -> tuple[str, str]:
    """Return code and message of the error for a value."""
    with pytest.raises(RequestError) as caught:
        column.parse([value], "x")
    assert caught.value.field == "instances[0].x"
    return caught.value.code, caught.value.message


def test_missing_number_is_the_median_and_a_flag() -> None:
    """The median ignores missing values; only the flag distinguishes it from a real value."""
    column = Number(missing="median")
    fitted = fit_values(column, [1, 2, None, 6])
    assert fitted == {"median": 2.0, "mean": 2.75, "std": pytest.approx(np.std([1, 2, 2, 6]))}
    assert encode_values(column, fitted, 6, 2, None) == [[6, 0], [2, 0], [2, 1]]
    assert rejection(Number(), None) == ("wrong_type", "expected a number; received null")
    assert rejection(column, float("nan"))[0] == "not_finite"


def test_outliers_are_clipped_to_training_quantiles() -> None:
    """Later values are clipped to the same two values."""
    column = Number(clip=(0.25, 0.75))
    fitted = fit_values(column, [0, 1, 2, 3, 1000])
    assert (fitted["low"], fitted["high"], fitted["mean"]) == (1, 3, 2)
    assert encode_values(column, fitted, -1e9, 2.5, 1e9) == [[1], [2.5], [3]]


def test_logarithm_rejects_negative_numbers() -> None:
    """The feature is log(1 + value); negative values and negative bounds are rejected."""
    column = Number(log=True)
    assert encode_values(column, fit_values(column, [0, 10]), np.e - 1.0)[0] == pytest.approx([1.0])
    assert rejection(column, -0.5)[0] == "out_of_bounds"
    assert column.json_schema()["minimum"] == 0
    with pytest.raises(ValidationError, match="log: expected bounds of at least 0; received -1"):
        Number(log=True, bounds=(-1, 1))


@pytest.mark.parametrize("clip", [(0.9, 0.1), (0.5, 0.5), (-0.1, 0.5), (0.1, 1.5)])
def test_invalid_clip_quantiles_are_rejected(clip: tuple[float, float]) -> None:
    """Two ascending quantiles from 0 to 1 are required."""
    with pytest.raises(ValidationError, match="clip: expected two quantiles from 0 to 1"):
        Number(clip=clip)


@pytest.mark.parametrize("value", [0.1, 1e-20, 123456.7, 0.0])
def test_rounding_errors_are_not_scaled(value: float) -> None:
    """The deviation of three equal numbers can be 1e-17; dividing by it would amplify float32 rounding errors."""
    assert scale(np.full(3, value))[1] == 1


@pytest.mark.parametrize(
    ("cell", "number"),
    [(" 12 ", 12.0), ("1e3", 1000.0), (7, 7), ("", None), ("NaN", None), (pd.NA, None), (None, None), (pd.NaT, None)],
)
def test_number_cells_are_parsed(cell: object, number: float | None) -> None:
    """Files have numbers as text, and several notations for missing values."""
    assert Number().read([cell]) == [number]


@pytest.mark.parametrize("cell", ["1_000", "12 m", True, "x", [1]])
def test_invalid_number_cells_are_rejected(cell: object) -> None:
    """The cells are kept unchanged; validation treats them as missing."""
    assert Number().read([cell]) == [cell]
    assert Number().facts([cell]) == [None]
    assert rejection(Number(), cell)[0] == "wrong_type"


def test_most_frequent_categories_are_learned() -> None:
    """They are sorted by frequency, then by name; all others share a feature, and missing values have their own."""
    column = Category(unseen="bucket", missing="bucket", top=2)
    fitted = fit_values(column, ["b", "c", "c", "a", None, "b", 7])
    assert fitted == {"values": ["b", "c"]}
    assert encode_values(column, fitted, "c", "a", "new", None) == [
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
    ]


def test_first_category_may_have_no_feature() -> None:
    """With `drop_first`, the first value is where all features are 0; a missing value keeps its own feature."""
    column = Category(values=["a", "b", 3], missing="bucket", drop_first=True)
    assert encode_values(column, {}, "a", "b", 3, None) == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert len(column.scaling({})) == 3


def test_number_of_categories_is_limited() -> None:
    """Too many listed values are rejected; learned ones have a fixed number of features."""
    names = [f"name {i}" for i in range(10_000)]
    with pytest.raises(ValidationError, match="at most 1000; received 10000: leave `values` out, and set"):
        Category(values=list(names))
    column = Category(unseen="bucket")
    assert len(encode_values(column, fit_values(column, names), "name 1")[0]) == 51


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "expected the values that may occur, or `unseen: bucket`"),
        ({"values": ["a", 1, "1"]}, "expected each name once"),
        ({"values": ["a", ""]}, "none empty"),
        ({"values": ["a"], "top": 3}, "top: expected only if values are learned"),
        ({"values": ["a"], "drop_first": True}, "drop_first: expected two or more `values`"),
        ({"values": ["a", "b"], "drop_first": True, "unseen": "bucket"}, "and `unseen: refuse`"),
    ],
)
def test_invalid_category_settings_are_rejected(settings: dict[str, Any], message: str) -> None:
    """The message says what is allowed."""
    with pytest.raises(ValidationError, match=message):
        Category(**settings)


def test_category_cells_become_text() -> None:
    """Values are text, whatever type the file reader returned."""
    cells = ["a", 1, 1.0, 1.5, True, None, float("nan"), " "]
    assert Category(values=["a"]).read(cells) == ["a", "1", "1", "1.5", "true", None, None, None]


@pytest.mark.parametrize(("cells", "value"), [(["yes", " Y", "TRUE", 1, 1.0, "1.0", True], 1), (["no", "F", 0.0], 0)])
def test_boolean_notations_are_parsed(cells: list[object], value: int) -> None:
    """Files and requests accept the same text notations."""
    assert Boolean().parse(Boolean().read(cells), "x").tolist() == [value] * len(cells)
    assert Boolean().read(["maybe", ""]) == ["maybe", None]
    assert Boolean().parse(["yes", " Y", "TRUE", 1, True], "x").tolist() == [1] * 5
    assert rejection(Boolean(), "maybe") == ("wrong_type", "expected true or false; received 'maybe'")
    assert rejection(Boolean(), 2)[0] == rejection(Boolean(), 1.0)[0] == rejection(Boolean(), None)[0] == "wrong_type"


def test_missing_boolean_has_a_feature() -> None:
    """A missing value is neither true nor false."""
    column = Boolean(missing="bucket")
    assert encode_values(column, {}, True, False, None) == [[1, 0], [0, 0], [0, 1]]


def test_date_features_by_hand() -> None:
    """For Monday 1 April 2024 at 06:00, a quarter of the year and of the day has passed, and nothing of the week."""
    column = Date(format="%Y-%m-%d %H:%M", missing="median")
    fitted = fit_values(column, ["2024-03-31 18:00", None, "2024-04-01 06:00", "2024-04-03 06:00"])
    assert (fitted["first"], fitted["median"]) == ("2024-03-31T18:00:00.000000", "2024-04-01T06:00:00.000000")
    assert fitted["mean"] == [(0.0 + 0.5 + 0.5 + 2.5) / 4, 2024]
    (known, missing) = encode_values(column, fitted, "2024-04-01 06:00", None)
    assert known == pytest.approx([0.5, 2024, 1, 0, 0, 1, 1, 0, 0], abs=1e-7)
    assert missing == [*known[:-1], 1]


def test_date_features_depend_on_the_format() -> None:
    """Without a day there is no weekday, and without an hour no time of day."""
    widths = [len(Date(format=text).scaling({"mean": [0, 0], "std": [1, 1]})) for text in ("%Y", "%Y-%m", "%Y-%m-%d")]
    assert widths == [2, 4, 6]


def test_dates_with_wrong_format_or_bounds_are_rejected() -> None:
    """The message names the format or the bounds."""
    column = Date(bounds=("2020-01-01", "2020-12-31"))
    assert rejection(column, "01.02.2020") == ("bad_date", "expected a date as %Y-%m-%d; received '01.02.2020'")
    assert rejection(column, 20200101)[0] == "wrong_type"
    assert rejection(column, "2021-01-01") == (
        "out_of_bounds",
        "expected 2020-01-01 to 2020-12-31; received '2021-01-01'",
    )
    for bounds in (("2020-12-31", "2020-01-01"), ("2020", "2021")):
        with pytest.raises(ValidationError, match="bounds: expected two dates as %Y-%m-%d"):
            Date(bounds=bounds)
    with pytest.raises(ValidationError, match="format: expected directives"):
        Date(format="%c")


def test_vocabulary_is_sorted_by_row_frequency() -> None:
    """Rare words share an id, and a text without words is one unknown word."""
    column = Text(length=4, vocabulary=3, missing="empty")
    fitted = fit_values(column, ["The cat", "the dog the the", "a cat!", "The dog!", None])
    assert fitted == {"ids": {"the": 2, "!": 3, "cat": 4}}  # as common as "dog", which comes later by name
    assert column.vocabulary_size(fitted) == 5
    assert encode_values(column, fitted, "THE bird", "cat cat cat cat the", None) == [
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
def test_texts_are_split_into_words(text: str, words: list[str]) -> None:
    """Scripts with and without spaces are supported; symbols are words, control characters are separators."""
    assert Text().parse([text], "x").tolist() == [" ".join(words).encode()]


@given(texts=st.lists(st.text(st.characters()), min_size=1, max_size=3), new=st.text(st.characters()))
@settings(deadline=None)
def test_any_text_is_encoded(texts: list[str], new: str) -> None:
    """Any text gives known ids followed by padding, and its words parse to themselves."""
    column = Text(length=5, at_least=1, missing="empty")
    fitted = fit_values(column, [*texts])
    parsed = column.parse([*texts, new], "x")
    assert column.parse(column.to_json(parsed), "x").tolist() == parsed.tolist()
    for row in column.encode(parsed, fitted).tolist():
        assert row[0] > 0
        assert max(row) < column.vocabulary_size(fitted)
        assert all(first or not second for first, second in itertools.pairwise(row))


def test_text_without_words_is_rejected() -> None:
    """An empty cell is rejected, too."""
    assert rejection(Text(), " \0 ") == ("no_words", "expected text; received ' \\x00 '")
    assert rejection(Text(), None) == ("wrong_type", "expected text; received null")
    assert rejection(Text(missing="empty"), 5)[0] == "wrong_type"


def test_long_values_are_truncated_in_errors() -> None:
    """Error messages show the beginning of a value."""
    assert format_value("x" * 1000) == f"'{'x' * 99}..."
    assert [format_value(value) for value in (None, True, 1)] == ["null", "true", "1"]


def test_nested_value_is_no_fault_of_its_error_message() -> None:
    """A list that is nested too deeply for Python to print, but not for a decoder, is described."""
    nested: list[object] = []
    for _ in range(2000):
        nested = [nested]
    assert format_value(nested) == "a value that is nested too deeply"


def test_schema_of_dates_and_categories() -> None:
    """ISO dates have the format `date`, other formats only a pattern; listed categories are examples."""
    assert Date().json_schema()["format"] == "date"
    assert "format" not in Date(format="%d.%m.%Y").json_schema()
    assert Category(values=["a", 1], unseen="bucket").json_schema()["examples"] == ["a", 1]
    assert "examples" not in Category(unseen="bucket").json_schema()


@given(
    moments=st.lists(st.integers(-(10**15), 10**16) | st.integers(0, 10**10), min_size=1, max_size=50),
    format_=st.sampled_from(["%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%d %H:%M:%S"]),
    missing=st.booleans(),
)
def test_date_features_once_a_day_equal_those_of_each_row(moments: list[int], format_: str, missing: bool) -> None:
    """Many rows look their features up by the day, with the same bits; also before 1970, and if some are missing."""
    values = np.array(moments * 30).astype("datetime64[us]")
    column = Date(format=format_, missing="median" if missing else "refuse")
    values[1::7] = np.datetime64("NaT") if missing else values[1::7]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(date, "FEW", 10**6)
        fitted = column.fit(values)
        encoded = column.encode(values, fitted)
        patch.setattr(date, "FEW", 0)
        assert column.fit(values) == fitted
        assert column.encode(values, fitted).tobytes() == encoded.tobytes()
