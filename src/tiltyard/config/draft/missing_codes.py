"""Find cells that mean a missing value: texts such as `?`, codes such as 999, zeros where nothing can be zero."""

from __future__ import annotations

import re

import numpy as np

from tiltyard.config.draft.column_values import ColumnValues
from tiltyard.modeling.columns._cell import MISSING

# Texts that can hardly be a category of their own.
SIGNS = {
    *(
        "?",
        "??",
        "???",
        "-",
        "--",
        "---",
        ".",
        "..",
        "...",
        "\u2026",
        "\u2013",
        "\u2014",
        "*",
        "\\N",
        "(null)",
        "[null]",
    ),
    *("n.a.", "N.A.", "n. a.", "k.A.", "k. A.", "n/d", "N/D", "s/d", "#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NUM!"),
    *("#NV", "#N/V", *MISSING),
}
# Texts that mean a missing value among numbers and dates, but may be a category.
WORDS = {
    *("na", "Na", "nil", "Nil", "NIL", "none", "NONE", "missing", "Missing", "MISSING", "nd", "ND", "NaT", "Null"),
    *("unknown", "Unknown", "UNKNOWN", "not available", "Not Available", "Not available", "n.v.", "nicht verfügbar"),
    *("keine Angabe", "no data", "No data", "No Data", "no answer", "TBD", "tbd", "error", "Error", "ERROR"),
}
CODES = re.compile(r"-?9{2,}|-1|-[1-8]{3,}|-9")
LIMIT = re.compile(r"[<>\u2264\u2265]=?\s*[\d.,]+")  # below or above what can be measured
MAX_TEXTS, MAX_TEXT_ROWS = 20, 0.1  # different texts among numbers, and their share of the rows
MIN_ROWS = 3  # with a code
MIN_DIFFERENT = 8  # other values, if the code is next to them, as -1 below 0
NEVER_ZERO = re.compile(
    r"(?i)glucose|pressure|bmi|insulin|thick|weight|height|\bage\b|mass|temp|heart|pulse|chol|area|size|sqft|year|yr_|"
    r"volume|density|gewicht|alter|groesse|größe|fläche|flaeche|baujahr|umsatz_pro"
)


def marks(values: ColumnValues) -> list[str]:
    """Return the texts of a column that mean a missing value, if the others are of a kind that excludes them."""
    return [text for text in values.texts if text.strip() in SIGNS or text.strip() in WORDS]


def signs(values: ColumnValues) -> list[str]:
    """Return the texts that mean a missing value also among categories."""
    return [text for text in values.texts if text.strip() in SIGNS]


def among_numbers(values: ColumnValues) -> list[str]:
    """Return the few texts of a column whose other cells are numbers; empty if it is a column of texts.

    `<5` or `see note` in a few rows do not make names of hundreds of numbers.
    """
    texts = [text for text in values.texts if not re.search(r"\d", text) or LIMIT.fullmatch(text.strip())]
    if not 0 < len(texts) <= MAX_TEXTS or len(values.distinct) < MIN_DIFFERENT + len(texts):
        return []
    rows = sum(values.share(text) for text in texts) * values.rows
    return texts if rows <= MAX_TEXT_ROWS * values.present else []


def number_codes(name: str, values: ColumnValues) -> dict[float, float]:
    """Return the numbers that stand for a missing value, with their share of the rows."""
    if values.ordered is None or not len(values.distinct):
        return {}
    distinct, counts = np.unique(values.ordered, return_counts=True)
    shares = counts / values.rows
    # Only few of millions of different numbers are looked at one by one.
    frequent = np.flatnonzero((counts >= MIN_ROWS) & (shares < 0.97) & (distinct == np.floor(distinct)))
    candidates = {float(distinct[i]): float(shares[i]) for i in frequent}
    codes = {value: share for value, share in candidates.items() if CODES.fullmatch(f"{value:g}")}
    ordinary = distinct[~np.isin(distinct, [*codes])]
    code_shares = {value: share for value, share in codes.items() if _is_apart(value, ordinary)}
    remaining = ~np.isin(distinct, [*code_shares])
    zero = np.flatnonzero((distinct == 0) & (counts >= MIN_ROWS))
    if len(zero) and _is_impossible_zero(name, distinct[remaining], counts[remaining]):
        code_shares[0.0] = float(shares[zero[0]])
    return code_shares


def _is_apart(code: float, ordinary: np.ndarray) -> bool:
    """Return whether a code is far from all other values, or the only negative one."""
    if len(ordinary) < 2:
        return False
    low, high = float(ordinary.min()), float(ordinary.max())
    if code < 0:
        return low >= 0 and (len(ordinary) >= MIN_DIFFERENT or code < -2 * (high - low + 1))
    return code > high + max(high - low, 3.0)


def _is_impossible_zero(name: str, distinct: np.ndarray, counts: np.ndarray) -> bool:
    """Return whether zeros are separated from all other values, which are positive, by a wide gap."""
    positive = distinct > 0
    if (distinct < 0).any() or positive.sum() < 10 or counts[~positive].sum() > 0.6 * counts.sum():
        return False
    values = np.repeat(distinct[positive], np.minimum(counts[positive], 1000))
    minimum, median = float(values.min()), float(np.median(values))
    return minimum >= (0.03 if NEVER_ZERO.search(name) else 0.25) * median and minimum > 3
