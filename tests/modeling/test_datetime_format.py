"""Dates are spelled and read by the format alone: strictly, and the same under every locale."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltyard.modeling.columns._datetime_format import DIRECTIVES, DatetimeFormat

NAIVE = datetime(2024, 2, 29, 15, 4, 5, 678900)  # noqa: DTZ001 - moments are naive, in UTC


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("%Y-%m-%d %H:%M:%S.%f", "2024-02-29 15:04:05.678900"),
        ("%d.%m.%y, %I.%M %p", "29.02.24, 03.04 PM"),
        ("%b %d, %Y", "Feb 29, 2024"),
        ("(%B) %Y", "(February) 2024"),
        ("%Y-%m-%dT%H:%M%z", "2024-02-29T15:04Z"),
    ],
)
def test_a_moment_is_spelled_and_read_back(text: str, spelled: str) -> None:
    """What a format leaves out is lost; the rest comes back."""
    spelling = DatetimeFormat(text)
    assert spelling.format(NAIVE) == spelled
    moment = spelling.read(spelled)
    assert moment is not None
    assert spelling.format(moment) == spelled


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
def test_usual_spellings_are_read(text: str, value: str, iso: str) -> None:
    """Offsets lead to UTC; noon and midnight, nanoseconds, capitals and two digits of a year mean what they do."""
    moment = DatetimeFormat(text).read(value)
    assert moment is not None
    assert moment.isoformat() == iso


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
def test_what_is_no_moment_is_none(text: str, value: str) -> None:
    """Neither blanks nor other digits, months or offsets are let through."""
    assert DatetimeFormat(text).read(value) is None


@pytest.mark.parametrize("year", [0, 1, 1600, 1900, 2000, 2023, 2024, 2100, 9999])
def test_many_days_are_read_as_each_of_them(year: int) -> None:
    """All at once or one by one: of the centuries only every fourth has a 29th of February."""
    spelling = DatetimeFormat("%Y-%m-%d")
    texts = [f"{year:04}-{month:02}-{day:02}" for month in range(14) for day in range(33)]
    assert spelling.read_all(texts).tolist() == [*map(spelling.read, texts)]


@pytest.mark.parametrize(
    ("text", "complaint"),
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
def test_a_format_that_cannot_be_meant_is_refused(text: str, complaint: str) -> None:
    """The message says what is wanted, and shows the format."""
    with pytest.raises(ValueError, match=f"format: .*{complaint}") as caught:
        DatetimeFormat(text)
    assert repr(text) in str(caught.value)


@given(letters=st.lists(st.sampled_from([*DIRECTIVES, "x"]), max_size=6), between=st.text(max_size=2), value=st.text())
def test_any_format_reads_or_is_refused(letters: list[str], between: str, value: str) -> None:
    """No text and no format ends in another error, and what is spelled is read."""
    try:
        spelling = DatetimeFormat(between.join(f"%{letter}" for letter in letters))
    except ValueError:
        return
    spelling.read(value)
    assert spelling.read(spelling.format(NAIVE)) is not None
