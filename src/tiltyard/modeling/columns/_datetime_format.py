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
)
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
        if complaint := self._complaint():
            raise ValueError(f"format: {complaint}; received {text!r}")
        self.pattern = self._pattern("{}")  # regular expression of a text in this format, without groups
        self.reader = re.compile(self._pattern("(?P<{letter}>{})"))

    def _complaint(self) -> str:
        """Return why the format is invalid, or an empty text."""
        if not self.letters <= DIRECTIVES.keys():
            return f"expected directives among {_join_letters(DIRECTIVES)}"
        if len(self.letters) < len(self.pieces) // 2 or len(self.letters & set("mbB")) > 1:
            return "expected each part of a date once"
        if len(self.letters & set("Yy")) != 1 or len(self.letters & set("HI")) > 1:
            return "expected one year, and at most one hour"
        for letter in self.letters & NEEDS.keys():
            for group in NEEDS[letter]:
                if not self.letters & set(group):
                    return f"expected {_join_letters(group)} beside %{letter}"
        return ""

    def _pattern(self, frame: str) -> str:
        parts = [re.sub(r"([.^$*+?()\[\]{}|\\])", r"\\\1", piece) for piece in self.pieces]
        for place, letter in enumerate(self.pieces[1::2]):
            parts[2 * place + 1] = frame.format(DIRECTIVES[letter][0], letter=letter)
        return "".join(parts)

    def read(self, text: str) -> datetime | None:
        """Parse a text; the result is in UTC if it states an offset, and None if it does not match."""
        found = self.reader.fullmatch(text)
        try:
            return _moment(found.groupdict()) if found else None
        except (ValueError, OverflowError):  # the 31st of June; a moment before the year 1
            return None

    def read_all(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.datetime64]]:
        """Parse many texts at once; NaT also for texts without leading zeros, which `read` can parse."""
        unknown = np.full(len(texts), "NaT", dtype="datetime64[us]")
        if not texts or not self.letters <= FULL.keys():
            return unknown
        try:
            ascii_ = np.array(texts, dtype=np.bytes_)
        except UnicodeEncodeError:
            return unknown
        return self._read_signs(np.frombuffer(ascii_, dtype=np.uint8).reshape(len(texts), -1))

    def read_arrow(self, texts: pa.Array) -> np.ndarray[Any, np.dtype[np.datetime64]]:
        """Parse texts without missing ones in the same way, without a Python object for each; blanks do not match."""
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
        signs = np.frombuffer(content, dtype=np.uint8, count=len(texts) * width, offset=start)
        return self._read_signs(signs.reshape(len(texts), width))

    def _read_signs(self, signs: Any) -> np.ndarray[Any, np.dtype[np.datetime64]]:
        """Parse texts, one row of bytes each; NaT for those that do not match."""
        good, parts = self._cut(signs)
        unknown = np.datetime64("NaT", "us")
        return np.where(good & _real(parts), _moments(parts), unknown) if parts else np.full(len(signs), unknown)

    def _cut(self, signs: Any) -> tuple[Any, dict[str, Any]]:
        """Split texts, one row of bytes each, into numbers; also return which texts match. Empty if none can match."""
        widths = [FULL[piece] if place % 2 else len(piece) for place, piece in enumerate(self.pieces)]
        good, parts = np.ones(len(signs), dtype=bool), {}
        if sum(widths) != signs.shape[1] or not self.text.isascii():
            return good, {}
        for place, (piece, end) in enumerate(zip(self.pieces, np.cumsum(widths), strict=True)):
            columns = signs.T[end - widths[place] : end]  # one sign of all texts at a time, which is fast
            if place % 2:
                number = np.zeros(len(signs), dtype=np.int32)
                for column in columns:
                    digit = column - np.uint8(ord("0"))
                    good &= digit <= 9
                    number = number * 10 + digit
                parts[piece] = number
            else:
                for column, sign in zip(columns, piece.encode(), strict=True):
                    good &= column == sign
        return good, parts

    def format(self, moment: datetime) -> str:
        """Format a datetime."""
        parts = list(self.pieces)
        parts[1::2] = [DIRECTIVES[letter][1](moment) for letter in self.pieces[1::2]]
        return "".join(parts)


def guess_format(texts: Sequence[str]) -> str:
    """Return the first common format that all texts match; empty if there is none."""
    if not texts or not all(any(map(str.isdigit, text)) for text in texts[:10]):
        return ""
    different = dict.fromkeys(texts)
    return next((one for one in DATES if all(map(DatetimeFormat(one).read, different))), "")


def _join_letters(letters: object) -> str:
    return " ".join(f"%{letter}" for letter in letters)  # type: ignore[attr-defined]


def _real(parts: dict[str, Any]) -> Any:
    """Return which numbers are valid dates: there is no 31 June."""
    year, month, day = parts["Y"], parts.get("m", 1), parts.get("d", 1)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    longest = DAYS[np.clip(month, 1, 12)] + (leap & (month == 2))
    time = (parts.get("H", 0) < 24) & (parts.get("M", 0) < 60) & (parts.get("S", 0) < 60)
    return (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= longest) & time


def _moments(parts: dict[str, Any]) -> Any:
    """Combine numbers into datetimes; results for invalid ones are undefined."""
    months = (parts["Y"] - 1970) * 12 + parts.get("m", 1) - 1
    days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + parts.get("d", 1) - 1
    seconds = (days * 24 + parts.get("H", 0)) * 3600 + parts.get("M", 0) * 60 + parts.get("S", 0)
    return seconds.astype("datetime64[s]").astype("datetime64[us]")


def _moment(found: dict[str, str]) -> datetime:
    moment = datetime(  # noqa: DTZ001 - in UTC, or without a time zone
        _year(found),
        _month(found),
        int(found.get("d", 1)),
        _hour(found),
        int(found.get("M", 0)),
        int(found.get("S", 0)),
        int(found.get("f", "0")[:6].ljust(6, "0")),
    )
    return moment - _offset(found["z"]) if "z" in found else moment


def _year(found: dict[str, str]) -> int:
    """Return the year; two digits from 69 to 99 mean 1969 to 1999, as in POSIX."""
    if "Y" in found:
        return int(found["Y"])
    return int(found["y"]) + (1900 if int(found["y"]) >= 69 else 2000)


def _month(found: dict[str, str]) -> int:
    for letter, names in (("b", SHORT), ("B", MONTHS)):
        if letter in found:
            return names.index(found[letter].title()) + 1
    return int(found.get("m", 1))


def _hour(found: dict[str, str]) -> int:
    if "I" not in found:
        return int(found.get("H", 0))
    if not 1 <= int(found["I"]) <= 12:
        raise ValueError(found["I"])
    return int(found["I"]) % 12 + (12 if found["p"].upper() == "PM" else 0)


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
    moments = pd.to_datetime(cells, errors="coerce", format=datetime_format or "ISO8601")
    if (moments == moments.dt.normalize()).all() and (moments.dt.day == moments.dt.day.iloc[0]).all():
        return (moments.dt.year * 12 + moments.dt.month).astype("float64")
    return moments.astype("int64").astype("float64").where(moments.notna())
