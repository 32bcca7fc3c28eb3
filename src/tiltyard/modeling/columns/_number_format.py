"""Formats of numbers as people write them: separators, currencies and units, negatives in parentheses, durations.

A file and a request are read by the same regular expression: one cell by Python, a whole column by Arrow. Styles of
numbers that a CSV file has throughout, such as decimal commas, are found in data/tables/column_types.py.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, StringConstraints, model_validator

from tiltyard.arrays import Array
from tiltyard.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

BLANK = "[ \t\u00a0\u2009\u202f]"  # also the narrow ones between thousands and before a currency
GROUPS = {" ": "[ \u00a0\u2009\u202f]", "'": "['\u2019]", "": ""}
SIGN = "[-+\u2212]"  # the last one is the minus sign of typography
UNITS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86_400.0}
LONGEST = 100  # characters of a cell
WORDS = {  # seconds of each unit, by the words that people write
    **dict.fromkeys(("d", "day", "days", "tag", "tage"), 86_400.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours", "std"), 3600.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes", "minuten"), 60.0),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "sek"), 1.0),
    "ms": 0.001,
}
CLOCK = re.compile(r"([-+])?(?:([0-9]+) days?,? +)?([0-9]{1,6}):([0-5]?[0-9])(?::([0-5]?[0-9](?:[.,][0-9]{1,9})?))?")
PART = re.compile(r"([0-9]+(?:[.,][0-9]+)?)\s*([a-z]+)\.?,?\s*")
ISO = re.compile(r"P(?:([0-9.]+)D)?(?:T(?:([0-9.]+)H)?(?:([0-9.]+)M)?(?:([0-9.]+)S)?)?", re.IGNORECASE)

Symbol = Annotated[str, StringConstraints(min_length=1, max_length=20)]


class NumberFormat(Settings):
    """The `written:` section of a number: how its cells are written, in a file and in the texts of a request."""

    decimal: Literal[".", ","] = Field(".", description="The decimal separator.")
    thousands: Literal["", ",", ".", " ", "'", "_"] = Field("", description="The thousands separator, if there is one.")
    symbols: list[Symbol] = Field(
        default_factory=list,
        max_length=50,
        description="Texts before or after the number: currencies, %, units. They do not change its value.",
    )
    duration: Literal["seconds", "minutes", "hours", "days"] | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="Durations such as 1:20:05 or 1h 20m, as a number in this unit. 1:20 is minutes and seconds if the "
        "unit is seconds, else hours and minutes.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> NumberFormat:
        if self.thousands == self.decimal:
            raise ValueError(
                f"thousands: expected another separator than for decimals; received '{self.decimal}' twice"
            )
        if bad := next((symbol for symbol in self.symbols if re.search(r"^[-+0-9\s]|[()]|\s$", symbol)), ""):
            text = "expected texts without parentheses, and with no digit, sign or blank in front"
            raise ValueError(f"symbols: {text}; received '{bad}'")
        return self

    @property
    def example(self) -> str:
        """A cell in this format, for messages."""
        if self.duration:
            return "1:20:05 or 1h 20m"
        symbol = f" {self.symbols[0]}" if self.symbols else ""
        return f"1{self.thousands}234{self.decimal}5{symbol}"

    @property
    def pattern(self) -> str:
        """The regular expression of a cell, in the syntax that Python and RE2 share."""
        return _pattern(self.decimal, self.thousands, tuple(self.symbols))

    def read(self, text: str) -> float | None:
        """Return the number that a cell holds, or None if it is not in this format."""
        if len(text) > LONGEST:
            return None
        if self.duration and (seconds := _seconds(text, two_parts_are_hours=self.duration != "seconds")) is not None:
            return seconds / UNITS[self.duration]
        match = re.fullmatch(self.pattern, text)
        if not match:
            return None
        signs = [match[name] for name in ("sign", "inner", "last") if match[name]]
        parentheses = bool(match["open"]), bool(match["close"])
        if len(signs) + parentheses[0] > 1 or parentheses[0] != parentheses[1]:
            return None
        digits = re.sub(GROUPS.get(self.thousands, f"[{self.thousands}]"), "", match["digits"])
        value = float(digits.replace(self.decimal, "."))
        return -value if parentheses[0] or (signs and signs[0] != "+") else value

    def read_arrow(self, cells: pa.Array) -> Array | None:
        """Return the numbers of a column of text, NaN where a cell is missing; None if a cell is not in this format."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.duration:
            return self._read_distinct(cells)
        if len(cells) and (pc.max(pc.utf8_length(cells)).as_py() or 0) > LONGEST:
            return None
        parts = pc.extract_regex(cells, f"^(?:{self.pattern})$")
        if parts.null_count > cells.null_count:
            return None
        group = {name: parts.field(name) for name in ("open", "sign", "inner", "digits", "last", "close")}
        present = {name: _flags(pc.not_equal(texts, "")) for name, texts in group.items()}
        marks = present["sign"].astype(int) + present["inner"] + present["last"] + present["open"]
        if (marks > 1).any() or (present["open"] != present["close"]).any():
            return None
        digits = pc.if_else(cells.is_valid(), group["digits"], None)
        if self.thousands:
            digits = pc.replace_substring_regex(digits, GROUPS.get(self.thousands, f"[{self.thousands}]"), "")
        numbers = pc.replace_substring(digits, self.decimal, ".").cast(pa.float64())
        values: Array = numbers.to_numpy(zero_copy_only=False)
        minus = present["open"].copy()
        for name in ("sign", "inner", "last"):
            minus |= present[name] & ~_flags(pc.equal(group[name], "+"))
        return np.where(minus, -values, values)

    def read_texts(self, texts: Sequence[str]) -> Array | None:
        """Return the numbers of texts; None if one is not in this format."""
        import pyarrow as pa

        return self.read_arrow(pa.array([text.strip() for text in texts], pa.string()))

    def _read_distinct(self, cells: pa.Array) -> Array | None:
        """Read each distinct text once."""
        coded = cells.dictionary_encode(null_encoding="encode")
        values = [None if text is None else self.read(text) for text in coded.dictionary.to_pylist()]
        texts = coded.dictionary.to_pylist()
        if any(value is None and text is not None for value, text in zip(values, texts, strict=True)):
            return None
        numbers: Array = np.array(values, dtype=np.float64).take(coded.indices.to_numpy())
        return numbers


def _flags(values: Any) -> Array:
    flags: Array = values.fill_null(fill_value=False).to_numpy(zero_copy_only=False)
    return flags


@functools.lru_cache(maxsize=1000)
def _pattern(decimal: str, thousands: str, symbols: tuple[str, ...]) -> str:
    group = GROUPS.get(thousands, f"[{thousands}]")
    inner = "[0-9]{2,3}" if thousands == "," else "[0-9]{3}"  # in India, 12,34,567
    integer = f"(?:[0-9]{{1,3}}(?:{group}{inner})*{group}[0-9]{{3}}|[0-9]+)" if thousands else "[0-9]+"
    digits = f"(?P<digits>(?:{integer}(?:[{decimal}][0-9]+)?|[{decimal}][0-9]+)(?:[eE][+-]?[0-9]{{1,3}})?)"
    no_cents = f"(?:[{decimal}](?:--?|[\u2013\u2014]))?"  # 12,- is a price without cents
    alternatives = "|".join(_escaped(symbol) for symbol in sorted(symbols, key=lambda symbol: (-len(symbol), symbol)))
    symbol = f"(?:{alternatives})?" if alternatives else ""
    return (
        f"{BLANK}*{symbol}{BLANK}*(?P<open>\\()?{BLANK}*(?P<sign>{SIGN})?{BLANK}*{symbol}{BLANK}*(?P<inner>{SIGN})?{BLANK}*"
        f"{digits}{no_cents}{BLANK}*{symbol}{BLANK}*(?P<last>[-\u2212])?{BLANK}*(?P<close>\\))?{BLANK}*{symbol}{BLANK}*"
    )


def _escaped(text: str) -> str:
    """Escape a text for both engines; RE2 knows fewer escapes than Python's `re.escape` writes."""
    return re.sub(r"([.^$*+?()\[\]{}|\\])", r"\\\1", text)


def _seconds(text: str, *, two_parts_are_hours: bool) -> float | None:
    """Return the seconds of a duration with colons, with units, or in ISO 8601."""
    bare = text.strip()
    if match := CLOCK.fullmatch(bare):
        sign, days, first, second, third = match.groups()
        parts = [float(first), float(second), float((third or "0").replace(",", "."))]
        if third is None and not two_parts_are_hours:
            parts = [0.0, *parts[:2]]
        total = float(days or 0) * 86_400 + parts[0] * 3600 + parts[1] * 60 + parts[2]
        return -total if sign == "-" else total
    return _iso_seconds(bare) if bare[:1] in ("P", "p") else _worded_seconds(bare.lower())


def _iso_seconds(text: str) -> float | None:
    match = ISO.fullmatch(text)
    if not match or not any(match.groups()):
        return None
    try:
        parts = [float(part or 0) for part in match.groups()]
    except ValueError:  # 1.2.3
        return None
    return sum(part * unit for part, unit in zip(parts, (86_400, 3600, 60, 1), strict=True))


def _worded_seconds(text: str) -> float | None:
    """Return the seconds of parts with units, such as 1h 20m, from the largest to the smallest."""
    minus, unsigned = text.startswith("-"), text.removeprefix("-").strip()
    total, place, before = 0.0, 0, float("inf")
    while match := PART.match(unsigned, place):
        unit = WORDS.get(match[2])
        if unit is None or unit >= before:
            return None
        total, place, before = total + float(match[1].replace(",", ".")) * unit, match.end(), unit
    if not place or place != len(unsigned):
        return None
    return -total if minus else total
