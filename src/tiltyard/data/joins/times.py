"""Times as numbers that can be compared, and the latest row that is not later than a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.data.joins.rule import JoinRule
from tiltyard.errors import DataError, format_value
from tiltyard.modeling.columns._datetime_format import DatetimeFormat

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

ZONE = r":\d\d(?:[.,]\d+)? ?(?:Z|z|[+-]\d\d(?::?\d\d)?)$"  # a time zone or an offset at the end of a time
TOO_FINE = r"\.\d{6}\d*[1-9]"  # digits below a microsecond, which would be cut off
MICROSECONDS = 1_000_000  # in a second
EXACT = 1 << 53  # whole numbers up to this are exact as floats


@dataclass(frozen=True)
class Times:
    """Times of rows: numbers as in the file, or microseconds, with -1 in `known` where there is none."""

    moments: Array
    known: Array
    unit: str  # numbers, dates, or dates with time zones


def read_times(cells: pa.Array, rule: JoinRule, place: str) -> Times:
    """Read a column of numbers, or of texts with dates; refuse texts that are no times."""
    from pyarrow import types

    if types.is_integer(cells.type) or types.is_floating(cells.type):
        known = cells.is_valid().to_numpy(zero_copy_only=False)
        values = cells.fill_null(0).to_numpy(zero_copy_only=False)
        known = known & np.isfinite(values)
        return Times(np.where(known, values, 0), known, "numbers")
    if not types.is_string(cells.type):
        raise DataError(f"{place}: expected times; received {cells.type}")
    coded = cells.dictionary_encode()
    texts: pd.Series[Any] = coded.dictionary.to_pandas().str.strip()
    moments = _moments(texts, rule.format, place)
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    values = np.append(moments, np.datetime64("NaT"))[codes]
    known = ~np.isnat(values)
    return Times(np.where(known, values.astype(np.int64), 0), known, _unit(texts[texts != ""], place))


def _moments(texts: pd.Series[Any], time_format: str | None, place: str) -> Array:
    """Parse different texts: ISO 8601, or the format of the task; those with a time zone are in UTC."""
    import pandas as pd

    moments: Array = np.asarray(
        pd.to_datetime(texts, errors="coerce", format="ISO8601", utc=True).dt.tz_localize(None), dtype="datetime64[us]"
    )
    unread = np.isnat(moments) & (texts != "").to_numpy()
    if unread.any() and time_format:
        moments[unread] = DatetimeFormat(time_format).moments(texts[unread].tolist())
        unread = np.isnat(moments) & (texts != "").to_numpy()
    if unread.any():
        received = format_value(texts[unread].iloc[0])
        expected = f"ISO 8601 or {time_format}" if time_format else "ISO 8601, such as 2024-01-31T08:00:00"
        raise DataError(f"{place}: expected times by {expected}; received {received}", hint="name the format: format")
    return moments


def _unit(texts: pd.Series[Any], place: str) -> str:
    """Return whether dates have time zones; refuse a mixture, and digits that would be lost."""
    if texts.str.contains(TOO_FINE).any():
        raise DataError(f"{place}: expected times of whole microseconds; received finer ones")
    zoned = texts.str.contains(ZONE)
    if len(texts) and zoned.any() and not zoned.all():
        without, with_zone = format_value(texts[~zoned].iloc[0]), format_value(texts[zoned].iloc[0])
        raise DataError(f"{place}: expected a time zone in all times or none; received {with_zone} and {without}")
    return "dates with time zones" if len(texts) and zoned.all() else "dates"


def require_same_unit(name: str, main: Times, joined: Times) -> None:
    """Refuse numbers beside dates, and dates with time zones beside those without."""
    if main.unit == joined.unit == "numbers" and main.moments.dtype != joined.moments.dtype:
        _require_exact(name, main, joined)
    if main.unit != joined.unit and main.known.any():
        text = f"joins.{name}.time: expected the same in both tables; received {main.unit} in the main table"
        hint = "write the time zone in both files, or in none"
        hint = hint if "numbers" not in (main.unit, joined.unit) else "convert one of the columns"
        raise DataError(f"{text} and {joined.unit} in the joined one", hint=hint)


def _require_exact(name: str, main: Times, joined: Times) -> None:
    """Refuse whole numbers that would be rounded beside fractions: a rounded time could be a later one."""
    largest = max(float(abs(times.moments).max(initial=0)) for times in (main, joined))
    if largest > EXACT:
        text = f"joins.{name}.time: expected whole numbers in both tables, since they are above {EXACT:,}"
        raise DataError(f"{text}; received fractions in one of them")


@dataclass(frozen=True)
class LatestRows:
    """The rows of a joined table by key and time, to find the latest that is not later than another row."""

    order: Array  # rows of the file, sorted by key and time; rows of equal time in the order of the file
    keys: Array  # all different keys
    codes: Array  # the place of each row's key among them, sorted
    moments: Array  # the time of each row, sorted within a key
    times: Array  # all different times

    @classmethod
    def of(cls, codes: Array, times: Times) -> LatestRows:
        """Sort the rows that have a key and a time."""
        rows = np.flatnonzero(times.known & (codes >= 0))
        order = rows[np.lexsort((times.moments[rows], codes[rows]))]
        keys, places = np.unique(codes[order], return_inverse=True)
        return cls(order, keys, places, times.moments[order], np.unique(times.moments[order]))

    def find(self, codes: Array, times: Times, *, same_time: bool, max_age: float | None) -> Array:
        """Return the place in `order` of the row for each key and time; -1 if there is none that is young enough."""
        if not len(self.order):
            return np.full(len(codes), -1)
        key = np.minimum(np.searchsorted(self.keys, codes), len(self.keys) - 1)
        width = len(self.times) + 1
        numbers = self.codes * width + np.searchsorted(self.times, self.moments) + 1
        before = np.searchsorted(self.times, times.moments, side="right" if same_time else "left")
        places = np.searchsorted(numbers, key * width + before, side="right") - 1
        at = np.maximum(places, 0)
        found = times.known & (self.keys[key] == codes) & (before > 0) & (places >= 0) & (self.codes[at] == key)
        if max_age is not None:
            found &= times.moments - self.moments[at] <= max_age
        return np.where(found, places, -1)

    def repeated(self) -> Array:
        """Return the places in `order` whose key and time is that of the place before."""
        return np.flatnonzero((np.diff(self.codes) == 0) & (np.diff(self.moments) == 0)) + 1

    def filled(self, places: Array, present: Array) -> Array:
        """Return for each place the last of the same key, not after it, whose row is present; or -1."""
        positions = np.arange(len(self.order))
        last = np.maximum.accumulate(np.where(present[self.order], positions, -1))
        starts = np.searchsorted(self.codes, self.codes)
        last = np.where(last >= starts, last, -1)
        return np.where(places < 0, -1, last[np.maximum(places, 0)])


def age_limit(rule: JoinRule, unit: str, name: str) -> float | None:
    """Return the maximum age in the unit of the times; refuse a duration for numbers."""
    if rule.max_age is None:
        return None
    if isinstance(rule.max_age, str):
        if unit == "numbers":
            text = f"joins.{name}.max_age: expected a number in the unit of the times, which are numbers"
            raise DataError(f"{text}; received {rule.max_age}")
        return (rule.seconds or 0.0) * MICROSECONDS
    if unit != "numbers":
        text = f"joins.{name}.max_age: expected a duration such as 15min for dates"
        raise DataError(f"{text}; received {rule.max_age:g}")
    return float(rule.max_age)
