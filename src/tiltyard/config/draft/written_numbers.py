"""Find how the numbers of a column of text are written: separators, currencies, units, durations."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from tiltyard.arrays import Array
from tiltyard.data.tables.column_types import CODE
from tiltyard.modeling.columns._number_format import NumberFormat

FEW = 5000  # texts from which symbols are collected; all texts are then read with them
CORE = re.compile("[0-9](?:[0-9.,'\u2019_ \u00a0\u2009\u202f]*[0-9])?")
CURRENCIES = (  # symbols of one group mean the same currency
    {"€", "EUR", "eur", "Euro", "euro", "Euros"},
    {"$", "US$", "USD", "usd", "US $", "U$"},
    {"£", "GBP", "gbp", "GB£"},
    {"¥", "JPY", "CN¥", "CNY", "RMB", "元", "円"},
    {"₹", "Rs", "Rs.", "INR", "\u20a8"},
    {"CHF", "Fr.", "SFr.", "Fr", "sFr."},
    {"kr", "kr.", "SEK", "NOK", "DKK"},
    {"zł", "PLN"},
    {"Kč", "CZK"},
    {"R$", "BRL"},
    {"C$", "CA$", "CAD"},
    {"A$", "AU$", "AUD"},
    {"₽", "RUB"},
    {"₺", "TRY", "TL"},
    {"₩", "KRW"},
)
UNIT = re.compile("[^\\W\\d_][^\\s\\d()]{0,9}[23]?|[%‰°²³µ℃][^\\s\\d()]{0,3}|\" ?|'")
UNITS = {  # of which several in one column are a mistake, and not codes
    *("mg", "g", "kg", "t", "oz", "lb", "lbs", "mm", "cm", "m", "km", "in", "ft", "mi", "miles", "ml", "cl", "l", "L"),
    *("W", "kW", "MW", "kWh", "MWh", "KB", "kB", "MB", "GB", "TB", "K", "k", "M", "B", "°C", "°F", "bar", "psi", "%"),
}
SIGNED = re.compile(r"^\s*\(.*\)\s*$|\d\s*[-\u2212]\s*$|\u2212")
SEPARATORS = [(".", ""), (".", ","), (",", ""), (",", "."), (",", " "), (".", " "), (".", "'"), (",", "'")]
DURATIONS = re.compile(r"(?i)dur|elapsed|runtime|run_time|laufzeit|dauer|time_?(taken|spent)|lap|finish|length")


def find_format(name: str, texts: Sequence[str], decimal: str = "") -> NumberFormat | None:
    """Return the format in which all texts are numbers; None if there is none.

    `decimal` is the separator that other columns of the file use, for a column such as 1,234 that allows both.
    """
    head = [*texts[:FEW]]
    if not head or not all(map(_has_digit, head)):
        return None
    if duration := _duration(name, texts):
        return duration
    if any(CODE.match(text.strip()) for text in head):
        return None
    symbols = _symbols(head)
    if symbols is None:
        return None
    fitting = [
        written
        for point, group in SEPARATORS
        if _reads(written := NumberFormat(decimal=point, thousands=group, symbols=symbols), head)  # type: ignore[arg-type]
        and _reads(written, texts)
    ]
    chosen = _choose(fitting, head, decimal)
    # Plain digits that are no number are a code, unless their signs are written as accountants do: (12) or 12-.
    return None if chosen == NumberFormat() and not any(SIGNED.search(text) for text in head) else chosen


def mixed_units(texts: Sequence[str]) -> list[str]:
    """Return the different units of numbers in a column, such as € and $, or kg and g; empty if it holds no such."""
    head = [text.strip() for text in texts[:FEW]]
    if len(head) < 2 or not all(map(_has_digit, head)):
        return []
    symbols = {symbol for text in head for symbol in _around(text) or ("",)}
    groups = {next((place for place, group in enumerate(CURRENCIES) if symbol in group), symbol) for symbol in symbols}
    recognized = all(isinstance(group, int) or group in UNITS for group in groups)
    return sorted(symbols) if recognized and len(groups) > 1 else []


def numbers(written: NumberFormat, texts: Sequence[str]) -> Array:
    """Return the numbers that the texts are."""
    values = written.read_texts(texts)
    return np.empty(0) if values is None else values


def _has_digit(text: str) -> bool:
    return any("0" <= letter <= "9" for letter in text)


def _reads(written: NumberFormat, texts: Sequence[str]) -> bool:
    return written.read_texts(texts) is not None


def _symbols(texts: Sequence[str]) -> list[str] | None:
    """Return the symbols around the numbers if they all mean the same; None if they do not, or are none."""
    symbols: set[str] = set()
    for text in texts:
        if (around := _around(text.strip())) is None:
            return None
        symbols.update(around)
    if len(symbols) <= 1 or any(symbols <= group for group in CURRENCIES):
        return sorted(symbols)
    return None


def _around(text: str) -> list[str] | None:
    """Return the symbols before and after the only number in a text; None if there is anything else."""
    match = CORE.search(text)
    if not match:
        return None
    before, after = text[: match.start()], text[match.end() :]
    before = before.strip("(+-\u2212 \u00a0\u202f\t").rstrip(".,") if before[-1:] in ".," else before
    before = before.strip("(+-\u2212 \u00a0\u202f\t")
    after = re.sub(r"^[.,](--?|[\u2013\u2014])", "", after).strip("- )\u2212\u00a0\u202f\t(")
    if before and not any(before in group for group in CURRENCIES) and before not in "~≈%":
        return None
    if after and not any(after in group for group in CURRENCIES) and not UNIT.fullmatch(after):
        return None
    return [symbol for symbol in (before, after) if symbol]


def _choose(fitting: list[NumberFormat], texts: Sequence[str], decimal: str) -> NumberFormat | None:
    """Choose among the formats that fit: 1,234 is decided by the other columns, 1,234 € is hardly a fraction."""
    points = {written.decimal for written in fitting}
    if len(points) < 2:
        return fitting[0] if fitting else None
    if all(not re.search("[.,]", text) for text in texts):
        return fitting[0]
    if decimal:
        return next((written for written in fitting if written.decimal == decimal), fitting[0])
    return None if not fitting[0].symbols else next((written for written in fitting if written.thousands), fitting[0])


def _duration(name: str, texts: Sequence[str]) -> NumberFormat | None:
    """Return a format of durations if all texts are such, in a unit of their usual length."""
    colons = sum(":" in text for text in texts[:FEW])
    if not colons and not all(re.search(r"[0-9]\s*[A-Za-z]", text) for text in texts[:FEW]):
        return None
    hours = NumberFormat(duration="hours")
    if not _reads(hours, texts[:FEW]) or not _reads(hours, texts):
        return None
    units = {tuple(re.findall("[A-Za-z]+", text)) for text in texts[:FEW]}
    if not colons and len(units) == 1 and len(units.pop()) == 1:
        return None  # one unit, such as 80 min, is a number with a symbol
    parts = {text.count(":") for text in texts[:FEW]}
    if parts == {1, 2} or (parts == {1} and _two_parts_are_seconds(name, texts[:FEW])):
        return NumberFormat(duration="seconds")
    middle = float(np.median(np.abs(numbers(hours, texts[:FEW]))))
    return NumberFormat(duration="minutes" if middle < 6 else "hours" if middle < 240 else "days")


def _two_parts_are_seconds(name: str, texts: Sequence[str]) -> bool:
    first = [int(text.strip().lstrip("+-").partition(":")[0]) for text in texts]
    return max(first) >= 24 and not re.search(r"(?i)hour|stunde|_h$", name)


def is_clock(name: str) -> bool:
    """Return whether a column such as 12:30 holds times of day, by its name, rather than durations."""
    return not DURATIONS.search(name)
