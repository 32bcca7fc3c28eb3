"""Date and time formats in Python's directives, parsed strictly and independent of the locale."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
SHORT = tuple(name[:3] for name in MONTHS)
DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])  # of each month
DATES = (  # formats that are tried if the task names none
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%y",
    "%Y-%m",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M:%S%z",
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%d %H:%M%z",
    "%Y-%m-%dT%H:%M%z",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%d %H:%M:%S.%f%z",
    "%Y-%m-%dT%H:%M:%S.%f%z",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%y",
    "%d.%m.%y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%y %H:%M",
    "%d/%m/%y",
    "%d-%m-%Y",
    "%d-%m-%Y %H:%M",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%b %Y",
    "%H:%M",
    "%H:%M:%S",
    "%I:%M %p",
    "%I:%M:%S %p",
)
FEW = 200  # texts that are tried before all
NO_YEAR = 1970  # of a time of day
Directive = tuple[str, Callable[[datetime], str]]  # its regular expression, and the function that formats it

DIRECTIVES: dict[str, Directive] = {
    "Y": ("[0-9]{4}", lambda t: f"{t.year:04}"),
    "y": ("[0-9]{2}", lambda t: f"{t.year % 100:02}"),
    "m": ("[0-9]{1,2}", lambda t: f"{t.month:02}"),
    "b": ("[A-Za-z]{3}", lambda t: SHORT[t.month - 1]),
    "B": ("[A-Za-z]{3,9}", lambda t: MONTHS[t.month - 1]),
    "d": ("[0-9]{1,2}", lambda t: f"{t.day:02}"),
    "H": ("[0-9]{1,2}", lambda t: f"{t.hour:02}"),
    "I": ("[0-9]{1,2}", lambda t: f"{t.hour % 12 or 12:02}"),
    "p": ("[AaPp][Mm]", lambda t: "AM" if t.hour < 12 else "PM"),
    "M": ("[0-9]{2}", lambda t: f"{t.minute:02}"),
    "S": ("[0-9]{2}", lambda t: f"{t.second:02}"),
    "f": ("[0-9]{1,9}", lambda t: f"{t.microsecond:06}"),
    "z": ("(?:Z|[+-][0-9]{2}:?[0-9]{2})", lambda _: "Z"),
}
# Each of these directives needs one directive of every group, so that no part of a time has to be guessed.
NEEDS = {"d": ["mbB"], "H": ["d"], "I": ["d", "p"], "p": ["I"], "M": ["HI"], "S": ["M"], "f": ["S"], "z": ["M"]}

FULL = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}  # directives that are digits only, with their full length


class DatetimeFormat:
    """A validated format of dates and times, for parsing and formatting."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pieces = re.split("%(.?)", text, flags=re.DOTALL)  # plain text and directives alternate
        self.letters = set(self.pieces[1::2])
        if reason := self._invalid_reason():
            raise ValueError(f"format: {reason}; received {text!r}")
        self.pattern = self._pattern("{}")  # regular expression of a text in this format, without groups
        self.reader = re.compile(self._pattern("(?P<{letter}>{})"))

    def _invalid_reason(self) -> str:
        """Return why the format is invalid; empty if it is valid."""
        if not self.letters <= DIRECTIVES.keys():
            return f"expected directives among {_join_letters(DIRECTIVES)}"
        if len(self.letters) < len(self.pieces) // 2 or len(self.letters & set("mbB")) > 1:
            return "expected each part of a date once"
        time_only = not self.letters & set("YymbBd")
        if len(self.letters & set("Yy")) != (not time_only) or len(self.letters & set("HI")) > 1:
            return "expected one year, and at most one hour; or hours and minutes alone"
        if time_only and (not self.letters & set("HI") or "z" in self.letters):
            return "expected one year, and at most one hour; or hours and minutes alone"
        for letter in self.letters & NEEDS.keys():
            for group in NEEDS[letter]:
                if time_only and group == "d":
                    continue
                if not self.letters & set(group):
                    return f"expected {_join_letters(group)} beside %{letter}"
        return ""

    def _pattern(self, template: str) -> str:
        parts = [re.sub(r"([.^$*+?()\[\]{}|\\])", r"\\\1", piece) for piece in self.pieces]
        for index, letter in enumerate(self.pieces[1::2]):
            parts[2 * index + 1] = template.format(DIRECTIVES[letter][0], letter=letter)
        return "".join(parts)

    def read(self, text: str) -> datetime | None:
        """Parse a text; the result is in UTC if it states an offset, and None if it does not match."""
        match = self.reader.fullmatch(text)
        try:
            return _combine_groups(match.groupdict()) if match else None
        except (ValueError, OverflowError):  # the 31st of June; a moment before the year 1
            return None

    def read_all(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.datetime64]]:
        """Parse many texts at once; NaT also for texts without leading zeros, which `read` can parse."""
        unknown = np.full(len(texts), "NaT", dtype="datetime64[us]")
        if not texts or not self.letters <= FULL.keys():
            return unknown
        try:
            encoded = np.array(texts, dtype=np.bytes_)
        except UnicodeEncodeError:
            return unknown
        return self._read_bytes(np.frombuffer(encoded, dtype=np.uint8).reshape(len(texts), -1))

    @property
    def has_date(self) -> bool:
        """Whether it has a date, and not only a time of day."""
        return bool(self.letters & set("Yy"))

    def moments(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.datetime64]]:
        """Parse many texts, also those without leading zeros; NaT for those that do not match."""
        moments = self.read_all(texts)
        for place in np.flatnonzero(np.isnat(moments)).tolist():
            moment = self.read(texts[place])
            moments[place] = np.datetime64("NaT") if moment is None else np.datetime64(moment, "us")
        return moments

    def matches(self, texts: Sequence[str]) -> bool:
        """Return whether all texts have this format; the first ones are tried first."""
        if not all(map(self.read, texts[:FEW])):
            return False
        return len(texts) <= FEW or not np.isnat(self.moments(texts)).any()

    def read_arrow(self, texts: pa.Array) -> np.ndarray[Any, np.dtype[np.datetime64]]:
        """Parse an Arrow array without nulls in the same way, without Python objects; blanks do not match."""
        import pyarrow.compute as pc
        from pyarrow import types

        unknown = np.full(len(texts), "NaT", dtype="datetime64[us]")
        if not len(texts) or not types.is_string(texts.type) or self.text != self.text.strip():
            return unknown
        lengths = pc.min_max(pc.binary_length(texts)).as_py()
        width = lengths["max"]
        if lengths["min"] != width or not width or not self.letters <= FULL.keys():
            return unknown
        _, offsets, content = texts.buffers()
        start = np.frombuffer(offsets, dtype=np.int32)[texts.offset]
        text_bytes = np.frombuffer(content, dtype=np.uint8, count=len(texts) * width, offset=start)
        return self._read_bytes(text_bytes.reshape(len(texts), width))

    def _read_bytes(self, text_bytes: Any) -> np.ndarray[Any, np.dtype[np.datetime64]]:
        """Parse texts, one row of bytes each; NaT for those that do not match."""
        matches, parts = self._split_digits(text_bytes)
        unknown = np.datetime64("NaT", "us")
        if not parts:
            return np.full(len(text_bytes), unknown)
        return np.where(matches & _is_valid_date(parts), _combine_numbers(parts), unknown)

    def _split_digits(self, text_bytes: Any) -> tuple[Any, dict[str, Any]]:
        """Split texts, one row of bytes each, into numbers, and return which match; no numbers if none can match."""
        widths = [FULL[piece] if index % 2 else len(piece) for index, piece in enumerate(self.pieces)]
        matches, parts = np.ones(len(text_bytes), dtype=bool), {}
        if sum(widths) != text_bytes.shape[1] or not self.text.isascii():
            return matches, {}
        for index, (piece, end) in enumerate(zip(self.pieces, np.cumsum(widths), strict=True)):
            columns = text_bytes.T[end - widths[index] : end]  # one character of all texts at a time, which is fast
            if index % 2:
                number = np.zeros(len(text_bytes), dtype=np.int32)
                for column in columns:
                    digit = column - np.uint8(ord("0"))
                    matches &= digit <= 9
                    number = number * 10 + digit
                parts[piece] = number
            else:
                for column, byte in zip(columns, piece.encode(), strict=True):
                    matches &= column == byte
        return matches, parts

    def format(self, moment: datetime) -> str:
        """Format a datetime."""
        parts = list(self.pieces)
        parts[1::2] = [DIRECTIVES[letter][1](moment) for letter in self.pieces[1::2]]
        return "".join(parts)


def guess_format(texts: Sequence[str]) -> str:
    """Return the first common format that all texts match; empty if there is none."""
    if not texts or not all(any(map(str.isdigit, text)) for text in texts[:10]):
        return ""
    different = [*dict.fromkeys(texts)]
    return next((text for text in DATES if DatetimeFormat(text).matches(different)), "")


def _join_letters(letters: object) -> str:
    return " ".join(f"%{letter}" for letter in letters)  # type: ignore[attr-defined]


def _is_valid_date(parts: dict[str, Any]) -> Any:
    """Return which numbers are valid dates: there is no 31 June."""
    year, month, day = parts.get("Y", NO_YEAR), parts.get("m", 1), parts.get("d", 1)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    longest = DAYS[np.clip(month, 1, 12)] + (leap & (month == 2))
    time = (parts.get("H", 0) < 24) & (parts.get("M", 0) < 60) & (parts.get("S", 0) < 60)
    return (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= longest) & time


def _combine_numbers(parts: dict[str, Any]) -> Any:
    """Combine numbers into datetimes; results for invalid ones are undefined."""
    months = (parts.get("Y", np.full_like(next(iter(parts.values())), NO_YEAR)) - 1970) * 12 + parts.get("m", 1) - 1
    days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + parts.get("d", 1) - 1
    seconds = (days * 24 + parts.get("H", 0)) * 3600 + parts.get("M", 0) * 60 + parts.get("S", 0)
    return seconds.astype("datetime64[s]").astype("datetime64[us]")


def _combine_groups(groups: dict[str, str]) -> datetime:
    moment = datetime(  # noqa: DTZ001 - in UTC, or without a time zone
        _year(groups),
        _month(groups),
        int(groups.get("d", 1)),
        _hour(groups),
        int(groups.get("M", 0)),
        int(groups.get("S", 0)),
        int(groups.get("f", "0")[:6].ljust(6, "0")),
    )
    return moment - _offset(groups["z"]) if "z" in groups else moment


def _year(groups: dict[str, str]) -> int:
    """Return the year; two digits from 69 to 99 mean 1969 to 1999, as in POSIX."""
    if "Y" in groups or "y" not in groups:
        return int(groups.get("Y", NO_YEAR))
    return int(groups["y"]) + (1900 if int(groups["y"]) >= 69 else 2000)


def _month(groups: dict[str, str]) -> int:
    for letter, names in (("b", SHORT), ("B", MONTHS)):
        if letter in groups:
            return names.index(groups[letter].title()) + 1
    return int(groups.get("m", 1))


def _hour(groups: dict[str, str]) -> int:
    if "I" not in groups:
        return int(groups.get("H", 0))
    if not 1 <= int(groups["I"]) <= 12:
        raise ValueError(groups["I"])
    return int(groups["I"]) % 12 + (12 if groups["p"].upper() == "PM" else 0)


def _offset(text: str) -> timedelta:
    if text == "Z":
        return timedelta()
    hours, minutes = int(text[1:3]), int(text[-2:])
    if hours > 23 or minutes > 59:
        raise ValueError(text)
    return timedelta(hours=hours, minutes=minutes) * (-1 if text[0] == "-" else 1)


def times(cells: pd.Series[Any], datetime_format: str | None = None) -> pd.Series[float]:
    """Return times as numbers: months if all dates are on the same day of the month, so that steps are equal."""
    import pandas as pd

    if not isinstance(cells.dtype, pd.StringDtype):
        return _times(cells, datetime_format)
    places, values = pd.factorize(cells, use_na_sentinel=False)  # series of many groups have the same times
    return _times(pd.Series(values), datetime_format).take(places).set_axis(cells.index)


def _times(cells: pd.Series[Any], datetime_format: str | None) -> pd.Series[float]:
    import pandas as pd

    numbers = pd.to_numeric(cells, errors="coerce")
    if not numbers.isna().all():
        return numbers
    moments = pd.to_datetime(cells, errors="coerce", format=datetime_format or "ISO8601", utc=True)
    if (moments == moments.dt.normalize()).all() and (moments.dt.day == moments.dt.day.iloc[0]).all():
        return (moments.dt.year * 12 + moments.dt.month).astype("float64")
    return moments.astype("int64").astype("float64").where(moments.notna())
