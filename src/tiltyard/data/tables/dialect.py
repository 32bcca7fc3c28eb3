"""Dialects of delimited text: the options of `source.read`, and guesses of the delimiter and the header.

A guess uses the first lines of the file, always the same ones; then the whole file is checked against it. Decimal and
thousands separators are guessed by type_inference.py.
"""

from __future__ import annotations

import codecs
import io
import re
from collections import Counter
from itertools import pairwise
from typing import Literal

from pydantic import Field, field_validator, model_validator

from tiltyard.data.tables.csv_lines import csv_reader
from tiltyard.modeling.columns._cell import MISSING
from tiltyard.settings import Settings

DELIMITERS = ("\t", ";", "|", ",")  # a comma comes last, since numbers may contain it
MAX_TITLE_LINES = 50
NUMBER = re.compile(r"[+-]?(\d[\d., ]*|\.\d+)([eE][+-]?\d+)?")


def _unset(value: object) -> bool:
    return value is None


class Dialect(Settings):
    """The `read:` section of a source; options that are left out are guessed, and unusual guesses are reported."""

    delimiter: str | None = Field(None, min_length=1, max_length=1, description="The character between two cells.")
    encoding: str | None = Field(None, description="An encoding by Python's name: cp1252, utf-16, shift_jis, ...")
    header: bool | None = Field(None, description="Whether the first row holds the columns' names.")
    names: list[str] | None = Field(
        None, min_length=1, description="The names of the columns, instead of those in the header."
    )
    decimal: Literal[".", ","] | None = Field(None, description="The decimal separator.")
    thousands: Literal[",", ".", " ", "'", "_"] | None = Field(None, description="The thousands separator.")
    na: list[str] | None = Field(None, description=f"Texts that mean a missing value; if unset: {', '.join(MISSING)}.")

    sheet: str | None = Field(
        None,
        min_length=1,
        exclude_if=_unset,
        description="Excel: the name of the sheet; the first with a table if unset.",
    )
    skip_rows: int | None = Field(
        None, ge=1, le=10_000, exclude_if=_unset, description="Lines above the header, such as a title, to leave out."
    )
    skip_last: int | None = Field(
        None, ge=1, le=10_000, exclude_if=_unset, description="Rows at the end, such as totals, to leave out."
    )
    skip_bad_rows: bool | None = Field(
        None, exclude_if=_unset, description="Leave out rows with more or fewer cells than the header, and list them."
    )

    dates: dict[str, list[str]] | None = Field(
        None,
        exclude_if=_unset,
        description="Dates over several columns, for `order` and `split.by`: a new name, and the columns of year, "
        "month, day, hour, minute, second.",
    )

    @field_validator("dates")
    @classmethod
    def _parts(cls, dates: dict[str, list[str]] | None) -> dict[str, list[str]] | None:
        for name, parts in (dates or {}).items():
            if not 2 <= len(parts) <= 6 or len(set(parts)) < len(parts):
                raise ValueError(f"{name}: expected 2 to 6 columns, year and month first; received {', '.join(parts)}")
        return dates

    @field_validator("encoding")
    @classmethod
    def _require_encoding(cls, name: str | None) -> str | None:
        try:
            codecs.lookup(name or "utf-8")
        except LookupError:
            raise ValueError("expected an encoding that Python knows, such as cp1252") from None
        return name

    @model_validator(mode="after")
    def _consistent(self) -> Dialect:
        if self.delimiter and self.delimiter in '"\r\n':
            raise ValueError("delimiter: expected a character other than a quote or a line break")
        if self.names and len(set(self.names)) < len(self.names):
            raise ValueError(f"names: expected different names; received {', '.join(self.names)}")
        if self.thousands and self.thousands == (self.decimal or "."):
            raise ValueError(
                f"thousands: expected another separator than for decimals; received '{self.thousands}' for both"
            )
        return self

    @property
    def missing(self) -> list[str]:
        """The texts that mean a missing value."""
        return ["", *(MISSING if self.na is None else self.na)]

    @property
    def set_options(self) -> list[str]:
        """The keys that the task sets."""
        return [name for name, value in self if value is not None]


def guess_delimiter(head: str, usual: str) -> str:
    """Return the delimiter by which most of the first lines have as many cells as the first, and more than one."""

    def regular(delimiter: str) -> float:
        counts = [len(row) for row in split_cells(head, delimiter)]
        return counts.count(counts[0]) / len(counts) if counts and counts[0] > 1 else 0.0

    candidates = {delimiter: regular(delimiter) for delimiter in (*DELIMITERS, usual)}
    best = max(candidates, key=lambda delimiter: candidates[delimiter])  # the first of equals
    return best if candidates[best] > 0 else usual


def title_lines(head: str, delimiter: str) -> int:
    """Return the number of lines above the header of a table: they have at most half as many cells as most rows."""
    reader = csv_reader(io.StringIO(head, newline=""), delimiter, quoted=True)
    rows, before = [], 0
    for row in reader:
        rows.append((before, row))
        before = reader.line_num
    widths = Counter(len(row) for _, row in rows)
    width, often = widths.most_common(1)[0] if widths else (0, 0)
    first = next((place for place, (_, row) in enumerate(rows) if len(row) == width and all(map(str.strip, row))), 0)
    if width < 2 or not first or first > MAX_TITLE_LINES or often < 0.8 * (len(rows) - first):
        return 0
    titles = [sum(bool(cell.strip()) for cell in row) for _, row in rows[:first]]
    header = rows[first][1]
    good = max(titles) <= max(1, width // 2) and len(set(header)) == width and not any(map(_number, header))
    return rows[first][0] if good else 0


def has_header(rows: list[list[str]]) -> bool:
    """Return whether the first row is a header.

    A row with a number above a column of numbers is no header, unless its numbers are consecutive, such as 2019, 2020.
    """
    first, *body = rows
    numbers = [place for place, cell in enumerate(first) if _number(cell)]
    over = [place for place in numbers if all(_number(row[place], "") for row in body if place < len(row))]
    if not over:
        return True
    counted = [int(first[place]) for place in numbers if first[place].isdecimal()]
    return len(counted) == len(numbers) > 1 and all(b - a == 1 for a, b in pairwise(counted))


def split_cells(head: str, delimiter: str, *, quoted: bool = True) -> list[list[str]]:
    """Split the first lines into cells; skip empty lines."""
    return [row for row in csv_reader(io.StringIO(head, newline=""), delimiter, quoted=quoted) if row]


def _number(cell: str, *more: str) -> bool:
    text = cell.strip()
    return text in more or NUMBER.fullmatch(text) is not None
