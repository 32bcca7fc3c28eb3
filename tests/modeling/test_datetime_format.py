"""Dates are formatted and parsed only by the given format: strictly, and independently of the locale."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltyard.modeling.columns._datetime_format import DIRECTIVES, DatetimeFormat, times

EXAMPLE = datetime(2024, 2, 29, 15, 4, 5, 678900)  # noqa: DTZ001 - datetimes are naive, in UTC


@pytest.mark.parametrize(
    ("text", "formatted"),
    [
        ("%Y-%m-%d %H:%M:%S.%f", "2024-02-29 15:04:05.678900"),
        ("%d.%m.%y, %I.%M %p", "29.02.24, 03.04 PM"),
        ("%b %d, %Y", "Feb 29, 2024"),
        ("(%B) %Y", "(February) 2024"),
        ("%Y-%m-%dT%H:%M%z", "2024-02-29T15:04Z"),
    ],
)
def test_formatted_datetime_is_parsed_back(text: str, formatted: str) -> None:
    """Parts that the format omits are lost; the others are kept."""
    datetime_format = DatetimeFormat(text)
    assert datetime_format.format(EXAMPLE) == formatted
    parsed = datetime_format.read(formatted)
    assert parsed is not None
    assert datetime_format.format(parsed) == formatted


@pytest.mark.parametrize(
    ("text", "value", "iso"),
    [
        ("%Y-%m-%dT%H:%M:%S%z", "2024-01-01T00:30:00+02:00", "2023-12-31T22:30:00"),
        ("%Y-%m-%dT%H:%M:%S%z", "2024-01-01T00:30:00-0030", "2024-01-01T01:00:00"),
        ("%m/%d/%Y %I:%M %p", "7/4/2024 12:05 am", "2024-07-04T00:05:00"),
        ("%m/%d/%Y %I:%M %p", "7/4/2024 12:05 PM", "2024-07-04T12:05:00"),
        ("%Y-%m-%d %H:%M:%S.%f", "2007-08-26 19:09:29.263000000", "2007-08-26T19:09:29.263000"),
        ("%d %B %Y", "1 MARCH 2020", "2020-03-01T00:00:00"),
        ("%y", "68", "2068-01-01T00:00:00"),
        ("%y", "69", "1969-01-01T00:00:00"),
    ],
)
def test_common_formats_are_parsed(text: str, value: str, iso: str) -> None:
    """Offsets are converted to UTC; noon, midnight, nanoseconds, capitals and two-digit years are supported."""
    parsed = DatetimeFormat(text).read(value)
    assert parsed is not None
    assert parsed.isoformat() == iso


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("%Y-%m-%d", "2023-02-29"),
        ("%Y-%m-%d", "2023-02-28 "),
        ("%Y-%m-%d", "2023-02-28\n"),
        ("%Y-%m-%d", "٢٠٢٣-02-28"),
        ("%Y-%m-%d", "28.02.2023"),
        ("%Y-%m-%d", "2023-02-28T00:00:00+01:00"),
        ("%d %b %Y", "1 Mai 2023"),
        ("%Y-%m-%d %I:%M %p", "2023-02-28 13:00 PM"),
        ("%Y-%m-%d %H:%M", "2023-02-28 24:00"),
        ("%Y-%m-%d %H:%M%z", "0001-01-01 00:00+01:00"),
        ("%Y-%m-%d %H:%M%z", "2024-01-01 00:00+99:99"),
    ],
)
def test_invalid_datetime_is_none(text: str, value: str) -> None:
    """Blanks, other digits, and invalid months or offsets are rejected."""
    assert DatetimeFormat(text).read(value) is None


@pytest.mark.parametrize("year", [0, 1, 1600, 1900, 2000, 2023, 2024, 2100, 9999])
def test_parsing_many_days_equals_parsing_each(year: int) -> None:
    """Only every fourth century has a 29 February."""
    datetime_format = DatetimeFormat("%Y-%m-%d")
    texts = [f"{year:04}-{month:02}-{day:02}" for month in range(14) for day in range(33)]
    expected = [*map(datetime_format.read, texts)]
    assert datetime_format.read_all(texts).tolist() == expected
    assert datetime_format.read_arrow(pa.array(["", *texts])[1:]).tolist() == expected


def test_blank_around_a_date_is_left_to_the_slow_parser() -> None:
    """Cells are stripped before they are parsed one by one, so a blank in the format matches none."""
    assert np.isnat(DatetimeFormat(" %Y").read_arrow(pa.array([" 2024"]))).all()
    assert np.isnat(DatetimeFormat("%Y").read_arrow(pa.array([" 2024", "2024"]))).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("%Y-%q", "expected directives among %Y %y"),
        ("%Y-%m-%", "expected directives among"),
        ("%Y %a", "expected directives among"),
        ("%Y%Y", "each part of a date once"),
        ("%Y %m %b", "each part of a date once"),
        ("%m-%d", "expected one year"),
        ("%Y %d", "expected %m %b %B beside %d"),
        ("%Y-%m-%d %I", "expected %p beside %I"),
        ("%Y-%m-%d %z", "expected %M beside %z"),
        ("", "expected one year"),
    ],
)
def test_unsupported_format_is_rejected(text: str, message: str) -> None:
    """The message says what is expected, and shows the format."""
    with pytest.raises(ValueError, match=f"format: .*{message}") as caught:
        DatetimeFormat(text)
    assert repr(text) in str(caught.value)


@given(letters=st.lists(st.sampled_from([*DIRECTIVES, "x"]), max_size=6), between=st.text(max_size=2), value=st.text())
def test_any_format_is_supported_or_rejected(letters: list[str], between: str, value: str) -> None:
    """Any format and text raise no other error, and formatted values are parsed."""
    try:
        datetime_format = DatetimeFormat(between.join(f"%{letter}" for letter in letters))
    except ValueError:
        return
    datetime_format.read(value)
    assert datetime_format.read(datetime_format.format(EXAMPLE)) is not None


@pytest.mark.parametrize(
    "cells",
    [
        ["2024-01-01", "2024-02-01", "2024-01-01"],
        ["2024-01-01", None, "2024-03-05 10:00:00", "no time", "2024-01-01"],
        ["3", "1.5", None, "3"],
        ["a", "b"],
    ],
)
def test_repeated_times_are_read_once_with_the_same_result(cells: list[str | None]) -> None:
    """Texts are read once each; objects, which are read one by one, give the same numbers."""
    texts = pd.Series(cells, index=range(5, 5 + len(cells)), dtype="str")
    pd.testing.assert_series_equal(times(texts), times(texts.astype(object)), check_names=False)
