"""The profile of a table: what each column seems to hold, and which had better be left out, with the reason."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from tiltyard.arrays import empty
from tiltyard.data.tables.column_types import CODE
from tiltyard.modeling.columns._datetime_format import DATES, DatetimeFormat, spelling_of
from tiltyard.modeling.columns.boolean import Boolean
from tiltyard.modeling.columns.number import Number

LARGEST = str(2**63 - 1)  # whole number of 64 bits
NAMED = 20  # names that a task file lists; of more, the commonest are learned
LEARNED = 50
LEAST = 5e-324  # the smallest positive float
KEYS = re.compile(r"(?i:^(id|index|key|unnamed.*|uuid|guid)$|[_ -](id|key|nr|no)$)|(?:ID|Id|Key|Number|Index)$")
CODES = re.compile(r"(?i)zip|postal|postcode|plz")  # numbers that name a place
DENSE = 1.05  # of whole numbers that are all different: their range over the number of rows, at most


@dataclass(frozen=True)
class ColumnProfile:
    """What is seen of one column."""

    name: str
    kind: str  # a type of column: number, boolean, category, date or text
    rows: int
    missing: int
    unique: int
    seen: str  # in words: the range, or some values
    column: dict[str, Any]  # as a task file would have it
    reason: str = ""  # why it had better be left out

    def left_out(self, reason: str) -> ColumnProfile:
        """Leave it out, for the first of the reasons."""
        return self if self.reason else replace(self, reason=reason)


def trait(name: str, cells: Sequence[object]) -> ColumnProfile:
    """Look at all cells of a column; the kinds are tried from the narrowest to the widest."""
    known = [cell for cell in cells if not empty(cell)]
    for look in (_boolean, _number, _date, _words):
        if found := look(known):
            kind, values, column = found
            break
    if kind == "number" and CODES.search(name):
        kind, values, column = _words(known) or (kind, values, column)
    unique, missing = len(set(map(str, known))), len(cells) - len(known)
    if missing:
        column |= {"missing": {"number": "median", "date": "median", "text": "empty"}.get(kind, "bucket")}
    seen = ColumnProfile(name, kind, len(cells), missing, unique, values, {"type": kind, **column})
    return seen.left_out(reason) if (reason := _reason(seen, known)) else seen


def bounds(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Widen a range by a tenth and round it outwards; what is never negative stays so."""
    margin = high / 10 - low / 10 or abs(high) / 10 or 1.0
    # the power of ten of a subnormal margin may be too small for a float
    step = max(10.0 ** math.floor(math.log10(margin)), 1.0 if whole else LEAST)
    first, last = _outwards(low - margin, step, math.floor), _outwards(high + margin, step, math.ceil)
    return [min(low, max(first, 0.0) if low >= 0 else first), max(high, last)]


def _outwards(end: float, step: float, rounded: Callable[[float], int]) -> float:
    """Round one end of a range to a multiple of the step; the largest float stands for what is beyond it."""
    found = _short(rounded(end / step) * step) if math.isfinite(end) else end
    return found if math.isfinite(found) else math.copysign(sys.float_info.max, end)


Found = tuple[str, str, dict[str, Any]] | None  # kind, values in words, settings of the column


def _boolean(known: list[object]) -> Found:
    spelled = sorted({str(cell) for cell in known})
    both = len(spelled) == 2 and set(Boolean().read(spelled)) == {True, False}
    plain = bool(known) and all(isinstance(cell, bool) for cell in known)
    return ("boolean", " or ".join(spelled), {}) if both or plain else None


def _number(known: list[object]) -> Found:
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
    """Return whether texts are codes, as where a table is read: 007, or digits alone that 64 bits do not hold."""
    texts = [cell.strip() for cell in known if isinstance(cell, str)]
    digits = len(texts) == len(known) and all(map(str.isdecimal, texts))
    return any(map(CODE.match, texts)) or (digits and any(len(text) > 19 or text.zfill(19) > LARGEST for text in texts))


def _skewed(numbers: list[float]) -> bool:
    """Return whether a logarithm helps: never negative, over orders of magnitude, and its mean far above its median."""
    middle = sorted(numbers)[len(numbers) // 2]
    return (
        min(numbers) >= 0 and middle > 0 and max(numbers) > 50 * middle and sum(numbers) > 1.5 * middle * len(numbers)
    )


def _date(known: list[object]) -> Found:
    texts = [str(cell) for cell in known]
    if not (spelled := spelling_of(texts)):
        return None
    spelling = DatetimeFormat(spelled)
    moments = sorted((moment, text) for text in set(texts) if (moment := spelling.read(text)))
    (_, first), (_, last) = moments[0], moments[-1]
    return "date", f"{first} to {last}", {"format": spelled}


def _words(known: list[object]) -> Found:
    texts = [str(cell) for cell in known]
    names = sorted(set(texts))
    words = sum(len(text.split()) for text in texts) / max(1, len(texts))
    if words >= 3 and len(names) > max(NAMED, len(texts) / 2):
        return "text", f"{words:.0f} words on average", {}
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    common = len(names) <= NAMED and all(texts.count(name) * 200 >= len(texts) for name in names)
    if names and common and all(len(name) <= 100 for name in names):
        return "category", shown, {"values": names}
    return "category", shown, {"unseen": "bucket", **({"top": LEARNED} if len(names) > LEARNED else {})}


def _reason(seen: ColumnProfile, known: list[object]) -> str:
    """Return why a column had better be left out, whatever is to be predicted: the first reason that holds."""
    if not known:
        return "empty"
    reasons = {
        f"constant: always {str(known[0])[:40]}": seen.unique == 1,
        f"nearly empty: {seen.missing:,} of {seen.rows:,} are missing": seen.missing > seen.rows * 0.95,
        "free text: a task with this column alone could learn from it": seen.kind == "text",
        f"an id: {seen.unique:,} different in {seen.rows:,} rows": _is_key(seen, known),
        "dates in several spellings: bring them to one": seen.kind == "category" and _is_mixed(known),
        f"{seen.unique:,} names in {seen.rows:,} rows: too many to learn from": _is_scattered(seen),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _is_mixed(known: list[object]) -> bool:
    """Return whether cells are dates, though not all of one spelling."""
    texts = sorted({str(cell) for cell in known})[:1000]
    spellings = [DatetimeFormat(spelled) for spelled in DATES]
    return len(texts) > 2 and all(any(spelling.read(text) for spelling in spellings) for text in texts)


def _is_scattered(seen: ColumnProfile) -> bool:
    return seen.kind == "category" and seen.unique > LEARNED and seen.unique * 10 > seen.rows - seen.missing


def _is_key(seen: ColumnProfile, known: list[object]) -> bool:
    """Return whether it names rows: text that is never the same, whole numbers that count rows or are called an id."""
    if seen.kind == "category":
        return seen.unique == len(known) >= NAMED
    if seen.kind != "number" or not all(float(str(value)).is_integer() for value in known):
        return False
    numbers = [int(float(str(value))) for value in known]
    counted = all(after - before == 1 for before, after in pairwise(numbers))
    dense = seen.unique == len(known) and max(numbers) - min(numbers) < DENSE * len(known)
    numbered = (counted or dense) and len(known) >= NAMED
    return numbered or (bool(KEYS.search(seen.name)) and seen.unique * 2 > len(known))


def _short(value: float) -> float:
    """Drop the digits that adding and multiplying left behind."""
    rounded = float(f"{value:.10g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 2**53 else rounded
