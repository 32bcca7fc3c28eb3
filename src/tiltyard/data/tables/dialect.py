"""How a file of text is laid out: what a task may say under `source.read`, and what is guessed where it says nothing.

A guess looks at the first lines of the file, always the same ones; the whole file is then held against it.
"""

from __future__ import annotations

import codecs
import io
import re
from itertools import pairwise
from typing import Literal

from pydantic import Field, field_validator, model_validator

from tiltyard.data.tables.csv_lines import reader_of
from tiltyard.settings import Settings

DELIMITERS = ("\t", ";", "|", ",")  # a comma comes last: it also stands inside numbers
MISSING = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None")  # beside the empty cell
NUMBER = re.compile(r"[+-]?(\d[\d., ]*|\.\d+)([eE][+-]?\d+)?")


class Dialect(Settings):
    """The `read:` section of a source; what is left out is guessed, and a guess worth knowing is reported."""

    delimiter: str | None = Field(None, min_length=1, max_length=1, description="The character between two cells.")
    encoding: str | None = Field(None, description="As Python names it: cp1252, utf-16, shift_jis, ...")
    header: bool | None = Field(None, description="Whether the first row holds the columns' names.")
    names: list[str] | None = Field(None, min_length=1, description="The columns' names, instead of the header's.")
    decimal: Literal[".", ","] | None = Field(None, description="What stands before the fraction of a number.")
    thousands: Literal[",", ".", " ", "'", "_"] | None = Field(None, description="What groups digits by three.")
    na: list[str] | None = Field(None, description=f"What means missing; if unset: {', '.join(MISSING)}.")

    @field_validator("encoding")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        try:
            codecs.lookup(name or "utf-8")
        except LookupError:
            raise ValueError("expected an encoding that Python knows, such as cp1252") from None
        return name

    @model_validator(mode="after")
    def _consistent(self) -> Dialect:
        if self.delimiter and self.delimiter in '"\r\n':
            raise ValueError("delimiter: expected no quote and no end of line")
        if self.names and len(set(self.names)) < len(self.names):
            raise ValueError(f"names: expected each once; received {', '.join(self.names)}")
        if self.thousands and self.thousands == (self.decimal or "."):
            raise ValueError(f"thousands: expected another character than decimal; received '{self.thousands}' twice")
        return self

    @property
    def missing(self) -> list[str]:
        """The texts of a cell without a value."""
        return ["", *(MISSING if self.na is None else self.na)]

    @property
    def given(self) -> list[str]:
        """The keys that the task sets."""
        return [name for name, value in self if value is not None]


def delimiter_of(head: str, usual: str) -> str:
    """Return the character that cuts most of the first lines into as many cells as the very first, more than one."""

    def regular(delimiter: str) -> float:
        counts = [len(row) for row in rows_of(head, delimiter)]
        return counts.count(counts[0]) / len(counts) if counts and counts[0] > 1 else 0.0

    candidates = {delimiter: regular(delimiter) for delimiter in (*DELIMITERS, usual)}
    best = max(candidates, key=lambda delimiter: candidates[delimiter])  # the first of equals
    return best if candidates[best] > 0 else usual


def has_header(rows: list[list[str]]) -> bool:
    """Return whether the first row is names: no number over numbers, unless they count 0, 1, 2 or 2019, 2020."""
    first, *others = rows
    numbers = [place for place, cell in enumerate(first) if _number(cell)]
    over = [place for place in numbers if all(_number(row[place], "") for row in others if place < len(row))]
    if not over:
        return True
    counted = [int(first[place]) for place in numbers if first[place].isdecimal()]
    return len(counted) == len(numbers) > 1 and all(b - a == 1 for a, b in pairwise(counted))


def rows_of(head: str, delimiter: str, *, quoted: bool = True) -> list[list[str]]:
    """Cut the first lines into cells; empty lines do not count."""
    return [row for row in reader_of(io.StringIO(head, newline=""), delimiter, quoted=quoted) if row]


def _number(cell: str, *more: str) -> bool:
    text = cell.strip()
    return text in more or NUMBER.fullmatch(text) is not None
