"""Data profiling: infer the type and settings of each column, and the reason to leave it out of the model."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.draft import missing_codes, written_numbers
from tiltyard.config.draft.column_values import ColumnValues
from tiltyard.data.tables.column_types import CODE
from tiltyard.errors import join_first
from tiltyard.modeling.columns._datetime_format import DATES, DatetimeFormat, guess_format
from tiltyard.modeling.columns.base import unit
from tiltyard.modeling.columns.boolean import SPELLED
from tiltyard.modeling.columns.number import Number

if TYPE_CHECKING:
    import pandas as pd

MAX_INT64 = str(2**63 - 1)
MAX_LISTED_NAMES = 20  # categories that a task file lists; of more, the most frequent are learned
MAX_LEARNED_NAMES = 50  # of a large table, or until the target is known
TOO_MANY = ": too many to learn from"  # ends the reason to leave out a column
MIN_FLOAT = 5e-324  # the smallest positive float
KEYS = re.compile(r"(?i:^(id|index|key|unnamed.*|uuid|guid)$|[_ -](id|key|nr|no)$)|(?:ID|Id|Key|Number|Index)$")
CODES = re.compile(r"(?i)zip|postal|postcode|plz")  # numbers that are codes
MAX_KEY_RANGE = 1.05  # unique integers are a key if their range is at most this many times the number of rows
MIN_UNIQUE = 0.96  # share of different texts in a column of ids
MAX_CONSTANT = 0.995  # of the rows with the same value
FEW = 1000  # values that are tried before all
LONG_TAIL = 20  # times the median: a new value may be far larger still


@dataclass(frozen=True)
class ColumnProfile:
    """The profile of one column."""

    name: str
    kind: str  # a type of column: number, boolean, category, date or text
    rows: int
    missing: int
    unique: int
    examples: str  # the range or some values, as text
    column: dict[str, Any]  # its settings in a task file
    reason: str = ""  # why to leave it out; empty if it is kept
    na: tuple[str, ...] = ()  # its texts that mean a missing value
    notes: tuple[str, ...] = ()  # what was decided about its cells, in sentences

    def left_out(self, reason: str) -> ColumnProfile:
        """Return a profile that is left out; an earlier reason stays."""
        return self if self.reason else replace(self, reason=reason)


def profile_column(name: str, cells: Sequence[object] | pd.Series, decimal: str = "") -> ColumnProfile:
    """Profile all cells of a column; `decimal` is the separator that other columns of the file use."""
    values = ColumnValues.of(cells)
    na, cleaned, (kind, examples, column) = _infer(name, values, decimal)
    notes = [_marks_note(values, na)] if na else []
    if texts := column.get("na", []):
        share = sum(values.share(text) for text in values.texts if text.strip() in texts)
        notes.append(f"{join_first(texts)} among numbers, in {share:.1%} of the rows, means a missing value")
    if kind == "number" and CODES.search(name):
        kind, examples, column = _names_or_text(cleaned)
    if kind == "number" and (codes := missing_codes.number_codes(name, _as_numbers(cleaned, column))):
        column, examples = _with_codes(cleaned, column, codes)
        column |= {"na": [*texts, *column["na"]]} if texts else {}
        notes += [f"{code:g} in {share:.1%} of the rows means a missing value" for code, share in codes.items()]
        missing = cleaned.missing + round(sum(codes.values()) * cleaned.rows)
    else:
        missing = cleaned.missing
    unique = len(cleaned.distinct) if cleaned.ordered is not None else len(set(cleaned.texts))
    if missing:
        column |= {"missing": {"number": "median", "date": "median", "text": "empty"}.get(kind, "bucket")}
    settings = {"type": kind, **column}
    profile = ColumnProfile(name, kind, values.rows, missing, unique, examples, settings, "", na, tuple(notes))
    return profile.left_out(reason) if (reason := _reason(profile, cleaned)) else profile


def bounds(low: float, high: float, *, integers: bool = False, tail: bool = False) -> list[float]:
    """Widen a range by its width, or tenfold if it has a long tail: bounds find wrong units, not new records.

    They are rounded outwards; a lower bound of non-negative values stays non-negative.
    """
    margin = high - low if math.isfinite(high - low) else sys.float_info.max
    margin = 9 * high if tail and low >= 0 and math.isfinite(9 * high) else margin or abs(high) or 1.0
    # the power of ten of a subnormal margin may be too small for a float
    step = max(10.0 ** math.floor(math.log10(margin)), 1.0 if integers else MIN_FLOAT)
    first, last = _outwards(low - margin, step, math.floor), _outwards(high + margin, step, math.ceil)
    return [min(low, max(first, 0) if low >= 0 else first), max(high, last)]


def _outwards(end: float, step: float, rounded: Callable[[float], int]) -> float:
    """Round one end of a range to a multiple of the step, within the largest float."""
    bound = _without_float_error(rounded(end / step) * step) if math.isfinite(end) else end
    return bound if math.isfinite(bound) else math.copysign(sys.float_info.max, end)


Inferred = tuple[str, str, dict[str, Any]]  # type, values as text, settings of the column


def _infer(name: str, values: ColumnValues, decimal: str) -> tuple[tuple[str, ...], ColumnValues, Inferred]:
    """Return the texts that mean a missing value, the other values, and the first type that fits these."""
    marks = [] if values.ordered is not None else missing_codes.marks(values)
    cleaned = values.without({mark.strip() for mark in marks}) if marks else values
    if cleaned.distinct:
        for infer in (_boolean, _number, _date, _written):
            if inferred := infer(name, cleaned, decimal):
                return tuple(marks), cleaned, inferred
    if texts := missing_codes.among_numbers(cleaned):
        others = cleaned.without({text.strip() for text in texts})
        for infer in (_number, _written):
            if inferred := infer(name, others, decimal):
                kind, examples, column = inferred
                return tuple(marks), others, (kind, examples, {**column, "na": sorted(text.strip() for text in texts)})
    signs = missing_codes.signs(values)
    cleaned = values.without({sign.strip() for sign in signs}) if signs else values
    return tuple(signs), cleaned, _names_or_text(cleaned)


def _marks_note(values: ColumnValues, na: tuple[str, ...]) -> str:
    shares = ", ".join(f"'{mark}' in {values.share(mark):.1%}" for mark in na)
    return f"{shares} of the rows means a missing value"


def _boolean(_: str, values: ColumnValues, __: str) -> Inferred | None:
    if len(values.distinct) > FEW:
        return None
    texts = sorted(set(values.texts))
    meanings = {SPELLED.get(text.strip().lower()) for text in texts}
    two_valued = meanings == {True, False} and (len(texts) == 2 or any(map(str.isalpha, texts)))
    plain = bool(values.distinct) and all(isinstance(cell, bool) for cell in values.distinct)
    return ("boolean", " or ".join(texts[:8]), {}) if two_valued or plain else None


def _number(_: str, values: ColumnValues, __: str) -> Inferred | None:
    numbers = values.ordered
    if numbers is None:
        if not _are_numbers(values.distinct[:FEW]) or not _are_numbers(values.distinct) or _are_codes(values.distinct):
            return None
        parsed = [float(str(value)) for value in Number().read(values.distinct)]
        numbers = np.repeat(np.array(parsed, dtype=np.float64), values.counts)
    if not len(numbers) or not np.isfinite(numbers).all():
        return None
    return "number", f"{numbers.min():g} to {numbers.max():g}", _range(numbers)


def _range(numbers: Array) -> dict[str, Any]:
    """Return bounds, and a logarithm if it helps."""
    low, high, middle = float(numbers.min()), float(numbers.max()), _middle(numbers)
    integers = bool((numbers == np.floor(numbers)).all())
    tail = low >= 0 and middle > 0 and high / LONG_TAIL > middle
    settings: dict[str, Any] = {"bounds": bounds(low, high, integers=integers, tail=tail)}
    return settings | ({"log": True} if is_skewed(numbers) else {})


def _are_numbers(cells: list[object]) -> bool:
    read = Number().read(cells)
    return all(type(value) in (int, float) and math.isfinite(float(str(value))) for value in read)


def _are_codes(cells: list[object]) -> bool:
    """Return whether texts are codes, as when a table is read: 007, or digits that exceed 64 bits."""
    texts = [cell.strip() for cell in cells if isinstance(cell, str)]
    digits = len(texts) == len(cells) and all(map(str.isdecimal, texts))
    return any(map(CODE.match, texts)) or (
        digits and any(len(text) > 19 or text.zfill(19) > MAX_INT64 for text in texts)
    )


def is_skewed(numbers: Array) -> bool:
    """Return whether a logarithm helps: non-negative, over orders of magnitude, and a mean far above the median."""
    scaled = numbers / unit(numbers)  # sums stay within a float
    low, high, middle = float(scaled.min()), float(scaled.max()), _middle(scaled)
    return low >= 0 and middle > 0 and high > 50 * middle and float(scaled.mean()) > 1.5 * middle


def _middle(numbers: Array) -> float:
    """Return a median that is one of the numbers, since the mean of two may overflow."""
    return float(np.partition(numbers, len(numbers) // 2)[len(numbers) // 2])


def _written(name: str, values: ColumnValues, decimal: str) -> Inferred | None:
    """Return a number if all texts are written as such, with a currency, a unit or separators."""
    if not all(isinstance(cell, str) for cell in values.distinct[:FEW]):
        return None
    written = written_numbers.find_format(name, values.texts, decimal)
    if not written:
        return None
    numbers = np.repeat(written_numbers.numbers(written, values.texts), values.counts)
    texts = sorted(values.texts[:FEW], key=len)
    settings = {"written": written.model_dump(mode="json", exclude_defaults=True), **_range(numbers)}
    return "number", f"{texts[0]}, {texts[-1]}, ...", settings


def _as_numbers(values: ColumnValues, column: dict[str, Any]) -> ColumnValues:
    """Return values whose numbers are known, also if they are written as text."""
    if values.ordered is not None or "written" in column:
        return values
    read = Number().read(values.distinct)
    return replace(values, ordered=np.repeat(np.array(read, dtype=np.float64), values.counts))


def _with_codes(values: ColumnValues, column: dict[str, Any], codes: dict[float, float]) -> tuple[dict[str, Any], str]:
    """Return the settings and the range without the numbers that mean a missing value."""
    numbers = _as_numbers(values, column).ordered
    assert numbers is not None  # noqa: S101 - for the type checker: there are no codes otherwise
    ordinary = numbers[~np.isin(numbers, [*codes])]
    na = [int(code) if code.is_integer() else code for code in codes]
    return {"na": na, **_range(ordinary)}, f"{ordinary.min():g} to {ordinary.max():g}"


def _date(name: str, values: ColumnValues, _: str) -> Inferred | None:
    texts = values.texts
    if not (format_text := guess_format(texts)):
        return None
    date_format = DatetimeFormat(format_text)
    if not date_format.has_date and not written_numbers.is_clock(name):
        return None
    moments = date_format.moments(texts)
    first, last = texts[int(moments.argmin())], texts[int(moments.argmax())]
    return "date", f"{first} to {last}", {"format": format_text}


def _names_or_text(values: ColumnValues) -> Inferred:
    texts, rows = values.texts, values.present
    names = sorted(set(texts))
    lengths = np.array([len(text.split()) for text in texts])
    words = float((lengths * values.counts).sum()) / max(1, rows)
    if words >= 3 and len(names) > max(MAX_LISTED_NAMES, rows / 2):
        return "text", f"{words:.0f} words on average", {}
    examples = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    common = len(names) <= MAX_LISTED_NAMES and bool((values.counts * 200 >= rows).all())
    if names and common and all(len(name) <= 100 for name in names):
        return "category", examples, {"values": names}
    top = {"top": MAX_LEARNED_NAMES} if len(names) > MAX_LEARNED_NAMES else {}
    return "category", examples, {"unseen": "bucket", **top}


def _reason(profile: ColumnProfile, values: ColumnValues) -> str:
    """Return the first reason to leave a column out, whatever the target; else an empty text."""
    if not values.present:
        return "empty"
    place, max_count = int(values.counts.argmax()), int(values.counts.max())
    texts = str(values.distinct[place])[:40]
    symbols = written_numbers.mixed_units(values.texts) if profile.kind == "category" else []
    units = ", ".join(unit or "none" for unit in symbols)
    reasons = {
        f"constant: always {texts}": profile.unique == 1,
        f"nearly empty: {profile.missing:,} of {profile.rows:,} are missing": profile.missing > profile.rows * 0.95,
        f"nearly constant: {texts} in {max_count / values.rows:.1%}": max_count > MAX_CONSTANT * values.rows
        and values.rows >= 200,
        "free text: use it in a task with this column alone": profile.kind == "text",
        f"an id: {profile.unique:,} different values in {profile.rows:,} rows": _is_key(profile, values),
        f"numbers in several units ({units}): convert them to one": bool(symbols),
        "dates in several formats: convert them to one": profile.kind == "category" and _is_mixed(values.distinct),
        f"{profile.unique:,} categories in {profile.rows:,} rows{TOO_MANY}": _is_scattered(profile),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _is_mixed(cells: list[object]) -> bool:
    """Return whether cells are dates in several formats."""
    texts = sorted({str(cell) for cell in cells})[:1000]
    date_formats = [DatetimeFormat(format_text) for format_text in DATES]
    return len(texts) > 2 and all(any(date_format.read(text) for date_format in date_formats) for text in texts)


def _is_scattered(profile: ColumnProfile) -> bool:
    return (
        profile.kind == "category"
        and profile.unique > MAX_LEARNED_NAMES
        and profile.unique * 10 > profile.rows - profile.missing
    )


def _is_key(profile: ColumnProfile, values: ColumnValues) -> bool:
    """Return whether it identifies rows: unique text, integers that count rows, or mostly unique ones called an id."""
    if profile.kind == "category":
        share = 1.0 if values.present < 100 else MIN_UNIQUE  # of few rows, a category may have nearly as many values
        return profile.unique >= share * values.present and values.present >= MAX_LISTED_NAMES
    if profile.kind != "number" or "written" in profile.column or "na" in profile.column:
        return False
    numbers = _as_numbers(values, profile.column).ordered
    if numbers is None or not (numbers == np.floor(numbers)).all() or np.abs(numbers).max() >= 2**53:
        return False
    counted = values.ordered is not None and bool((np.diff(numbers) == 1).all())
    dense = profile.unique == len(numbers) and np.ptp(numbers) < MAX_KEY_RANGE * len(numbers)
    numbered = (counted or dense) and len(numbers) >= MAX_LISTED_NAMES
    return bool(numbered or (KEYS.search(profile.name) and profile.unique * 2 > len(numbers)))


def _without_float_error(value: float) -> float:
    """Round away floating-point errors."""
    rounded = float(f"{value:.10g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 2**53 else rounded
