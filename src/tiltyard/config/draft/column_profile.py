"""Data profiling: infer the type and settings of each column, and the reason to leave it out of the model."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from tiltyard.arrays import is_missing
from tiltyard.data.tables.column_types import CODE
from tiltyard.modeling.columns._datetime_format import DATES, DatetimeFormat, guess_format
from tiltyard.modeling.columns.boolean import Boolean
from tiltyard.modeling.columns.number import Number

MAX_INT64 = str(2**63 - 1)
MAX_LISTED_NAMES = 20  # categories that a task file lists; of more, the most frequent are learned
MAX_LEARNED_NAMES = 50
MIN_FLOAT = 5e-324  # the smallest positive float
KEYS = re.compile(r"(?i:^(id|index|key|unnamed.*|uuid|guid)$|[_ -](id|key|nr|no)$)|(?:ID|Id|Key|Number|Index)$")
CODES = re.compile(r"(?i)zip|postal|postcode|plz")  # numbers that are codes
MAX_KEY_RANGE = 1.05  # unique integers are a key if their range is at most this many times the number of rows


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

    def left_out(self, reason: str) -> ColumnProfile:
        """Return a profile that is left out; an earlier reason stays."""
        return self if self.reason else replace(self, reason=reason)


def profile_column(name: str, cells: Sequence[object]) -> ColumnProfile:
    """Profile all cells of a column; try types from the most specific to the most general."""
    known = [cell for cell in cells if not is_missing(cell)]
    for infer in (_boolean, _number, _date, _names_or_text):
        if inferred := infer(known):
            kind, values, column = inferred
            break
    if kind == "number" and CODES.search(name):
        kind, values, column = _names_or_text(known) or (kind, values, column)
    unique, missing = len(set(map(str, known))), len(cells) - len(known)
    if missing:
        column |= {"missing": {"number": "median", "date": "median", "text": "empty"}.get(kind, "bucket")}
    profile = ColumnProfile(name, kind, len(cells), missing, unique, values, {"type": kind, **column})
    return profile.left_out(reason) if (reason := _reason(profile, known)) else profile


def bounds(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Widen a range by a tenth and round it outwards; a lower bound of non-negative values stays non-negative."""
    margin = high / 10 - low / 10 or abs(high) / 10 or 1.0
    # the power of ten of a subnormal margin may be too small for a float
    step = max(10.0 ** math.floor(math.log10(margin)), 1.0 if whole else MIN_FLOAT)
    first, last = _outwards(low - margin, step, math.floor), _outwards(high + margin, step, math.ceil)
    return [min(low, max(first, 0.0) if low >= 0 else first), max(high, last)]


def _outwards(end: float, step: float, rounded: Callable[[float], int]) -> float:
    """Round one end of a range to a multiple of the step, within the largest float."""
    bound = _without_float_error(rounded(end / step) * step) if math.isfinite(end) else end
    return bound if math.isfinite(bound) else math.copysign(sys.float_info.max, end)


Inferred = tuple[str, str, dict[str, Any]] | None  # type, values as text, settings of the column


def _boolean(known: list[object]) -> Inferred:
    format_text = sorted({str(cell) for cell in known})
    both = len(format_text) == 2 and set(Boolean().read(format_text)) == {True, False}
    plain = bool(known) and all(isinstance(cell, bool) for cell in known)
    return ("boolean", " or ".join(format_text), {}) if both or plain else None


def _number(known: list[object]) -> Inferred:
    values = Number().read(known)
    if not known or _are_codes(known):
        return None
    if not all(type(value) in (int, float) and math.isfinite(float(str(value))) for value in values):
        return None
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    low, high = min(numbers), max(numbers)
    settings: dict[str, Any] = {"bounds": bounds(low, high, whole=all(map(float.is_integer, numbers)))}
    return "number", f"{low:g} to {high:g}", settings | ({"log": True} if _skewed(numbers) else {})


def _are_codes(known: list[object]) -> bool:
    """Return whether texts are codes, as when a table is read: 007, or digits that exceed 64 bits."""
    texts = [cell.strip() for cell in known if isinstance(cell, str)]
    digits = len(texts) == len(known) and all(map(str.isdecimal, texts))
    return any(map(CODE.match, texts)) or (
        digits and any(len(text) > 19 or text.zfill(19) > MAX_INT64 for text in texts)
    )


def _skewed(numbers: list[float]) -> bool:
    """Return whether a logarithm helps: non-negative, over orders of magnitude, and a mean far above the median."""
    middle = sorted(numbers)[len(numbers) // 2]
    return (
        min(numbers) >= 0 and middle > 0 and max(numbers) > 50 * middle and sum(numbers) > 1.5 * middle * len(numbers)
    )


def _date(known: list[object]) -> Inferred:
    texts = [str(cell) for cell in known]
    if not (format_text := guess_format(texts)):
        return None
    date_format = DatetimeFormat(format_text)
    moments = sorted((moment, text) for text in set(texts) if (moment := date_format.read(text)))
    (_, first), (_, last) = moments[0], moments[-1]
    return "date", f"{first} to {last}", {"format": format_text}


def _names_or_text(known: list[object]) -> Inferred:
    texts = [str(cell) for cell in known]
    names = sorted(set(texts))
    words = sum(len(text.split()) for text in texts) / max(1, len(texts))
    if words >= 3 and len(names) > max(MAX_LISTED_NAMES, len(texts) / 2):
        return "text", f"{words:.0f} words on average", {}
    examples = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    common = len(names) <= MAX_LISTED_NAMES and all(texts.count(name) * 200 >= len(texts) for name in names)
    if names and common and all(len(name) <= 100 for name in names):
        return "category", examples, {"values": names}
    return (
        "category",
        examples,
        {"unseen": "bucket", **({"top": MAX_LEARNED_NAMES} if len(names) > MAX_LEARNED_NAMES else {})},
    )


def _reason(profile: ColumnProfile, known: list[object]) -> str:
    """Return the first reason to leave a column out, whatever the target; else an empty text."""
    if not known:
        return "empty"
    reasons = {
        f"constant: always {str(known[0])[:40]}": profile.unique == 1,
        f"nearly empty: {profile.missing:,} of {profile.rows:,} are missing": profile.missing > profile.rows * 0.95,
        "free text: use it in a task with this column alone": profile.kind == "text",
        f"an id: {profile.unique:,} different values in {profile.rows:,} rows": _is_key(profile, known),
        "dates in several formats: convert them to one": profile.kind == "category" and _is_mixed(known),
        f"{profile.unique:,} categories in {profile.rows:,} rows: too many to learn from": _is_scattered(profile),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _is_mixed(known: list[object]) -> bool:
    """Return whether cells are dates in several formats."""
    texts = sorted({str(cell) for cell in known})[:1000]
    date_formats = [DatetimeFormat(format_text) for format_text in DATES]
    return len(texts) > 2 and all(any(date_format.read(text) for date_format in date_formats) for text in texts)


def _is_scattered(profile: ColumnProfile) -> bool:
    return (
        profile.kind == "category"
        and profile.unique > MAX_LEARNED_NAMES
        and profile.unique * 10 > profile.rows - profile.missing
    )


def _is_key(profile: ColumnProfile, known: list[object]) -> bool:
    """Return whether it identifies rows: unique text, integers that count rows, or mostly unique ones called an id."""
    if profile.kind == "category":
        return profile.unique == len(known) >= MAX_LISTED_NAMES
    if profile.kind != "number" or not all(float(str(value)).is_integer() for value in known):
        return False
    numbers = [int(float(str(value))) for value in known]
    counted = all(after - before == 1 for before, after in pairwise(numbers))
    dense = profile.unique == len(known) and max(numbers) - min(numbers) < MAX_KEY_RANGE * len(known)
    numbered = (counted or dense) and len(known) >= MAX_LISTED_NAMES
    return numbered or (bool(KEYS.search(profile.name)) and profile.unique * 2 > len(known))


def _without_float_error(value: float) -> float:
    """Round away floating-point errors."""
    rounded = float(f"{value:.10g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 2**53 else rounded
