"""Dialects of delimited text: the options of `source.read`, and guesses of the delimiter and the header.

A guess uses the first lines of the file, always the same ones; then the whole file is checked against it. Decimal and
thousands separators are guessed by type_inference.py, the encoding by text_encoding.py.
"""

from __future__ import annotations

import codecs
import io
import re
from collections import Counter
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tiltyard.data.tables.csv_lines import COMMENTS, csv_reader
from tiltyard.modeling.columns._cell import MISSING
from tiltyard.settings import Settings

DELIMITERS = ("\t", ";", "|", ",")  # a comma comes last, since numbers may contain it
MAX_TITLE_LINES = 50
HEADER_ROWS, MIN_BODY = 200, 3  # rows that show whether there are two rows of names, and the fewest below them
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
    skip_first: int | None = Field(
        None, ge=1, le=100, exclude_if=_unset, description="Rows below the header, such as units, to leave out."
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
    if candidates[best] > 0:
        return best
    return " " if _is_spaced(split_cells(without_runs(head), " ")) else usual


def without_runs(text: str) -> str:
    """Return text with one space between words, as lines of columns that spaces align are read."""
    return re.sub(r"(?m)^ | $", "", re.sub("[ \t]+", " ", text))


def _is_spaced(rows: list[list[str]]) -> bool:
    """Return whether words are cells: as many in each row, with a column of numbers."""
    width = len(rows[0]) if rows else 0
    if len(rows) <= MIN_BODY or width < 2 or any(len(row) != width for row in rows):
        return False
    return any(_is_numeric(rows[1:], place) for place in range(width))


def title_lines(head: str, delimiter: str) -> int:
    """Return the number of lines above the header of a table: they have at most half as many cells as most rows."""
    rows = with_lines(head, delimiter)
    widths = Counter(len(row) for _, row in rows)
    width, often = widths.most_common(1)[0] if widths else (0, 0)
    first = next((place for place, (_, row) in enumerate(rows) if len(row) == width and all(map(str.strip, row))), 0)
    if width < 2 or not first or first > MAX_TITLE_LINES or often < 0.8 * (len(rows) - first):
        return 0
    titles = [
        sum(bool(cell.strip()) for cell in row) for _, row in rows[:first] if not row[0].lstrip().startswith(COMMENTS)
    ]
    header = rows[first][1]
    good = max(titles, default=0) <= max(1, width // 2) and len(set(header)) == width and not any(map(_number, header))
    return rows[first][0] if good else 0


def comment_lines(head: str, delimiter: str) -> int:
    """Return the number of lines above a header that begin as comments do; 0 if the first line may be the header."""
    rows = with_lines(head, delimiter)[:HEADER_ROWS]
    first = next((place for place, (_, row) in enumerate(rows) if not row[0].lstrip().startswith(COMMENTS)), 0)
    if not first or len(rows) < first + 1 + MIN_BODY:
        return 0
    (line, header), *others = rows[first:]
    body = [row for _, row in others if len(row) == len(header)]
    named = not any(map(_number, header)) and any(_names_numbers(body, place, header) for place in range(len(header)))
    return line if named else 0


def second_header(rows: list[tuple[int, list[str]]]) -> dict[str, Any]:
    """Return settings for a second row of names: units below the header, or columns below names of groups.

    It holds no number, and a text above numbers; the first row then is a header if it has a different name for each
    column, and else names groups or is blank. Each row comes with the number of lines before it.
    """
    rows = rows[:HEADER_ROWS]
    if len(rows) < MIN_BODY + 2 or len({len(row) for _, row in rows}) > 1:
        return {}
    (_, first), (line, second), *others = rows
    body = [row for _, row in others]
    if any(map(_number, [*first, *second])) or not any(
        _names_numbers(body, place, second) for place in range(len(first))
    ):
        return {}
    if all(map(str.strip, first)) and len(set(first)) == len(first):
        return {"skip_first": 1}
    names = _of_groups(first, second)
    return {"skip_rows": line, **({"names": names} if names != second else {})}


def _is_numeric(body: list[list[str]], place: int) -> bool:
    return all(_number(row[place], "") for row in body if place < len(row))


def _names_numbers(body: list[list[str]], place: int, names: list[str]) -> bool:
    """Return whether a column of numbers has a text among its names."""
    cells = [row[place].strip() for row in body]
    return (
        names[place].strip() not in ("", *MISSING) and any(cells) and all(_number(cell, "", *MISSING) for cell in cells)
    )


def _of_groups(groups: list[str], names: list[str]) -> list[str]:
    """Return the names of columns; those that occur several times are preceded by the name of their group."""
    bare, filled = [name.strip() for name in names], [group.strip() for group in groups]
    for place in range(1, len(filled)):
        filled[place] = filled[place] or (filled[place - 1] if bare[place] else "")
    chosen = [name or group for name, group in zip(bare, filled, strict=True)]
    counts = Counter(chosen)
    return [
        f"{group} {name}" if counts[name] > 1 and group not in ("", name) else name
        for name, group in zip(chosen, filled, strict=True)
    ]


def with_lines(head: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return the first rows, each with the number of lines before it."""
    reader = csv_reader(io.StringIO(head, newline=""), delimiter, quoted=True)
    rows, before = [], 0
    for row in reader:
        rows.append((before, row))
        before = reader.line_num
    return [(line, row) for line, row in rows if row]


def has_header(rows: list[list[str]]) -> bool:
    """Return whether the first row is a header.

    A row with a number above a column of numbers is no header, unless its numbers are consecutive, such as 2019, 2020,
    or it has at least as many names above such columns.
    """
    first, *body = rows
    numbers = [place for place, cell in enumerate(first) if _number(cell)]
    over = [place for place in numbers if _is_numeric(body, place)]
    if not over:
        return True
    names = [place for place, cell in enumerate(first) if not _number(cell, "", *MISSING) and _is_numeric(body, place)]
    if body and len(names) >= len(over):
        return True
    counted = [int(first[place]) for place in numbers if first[place].isdecimal()]
    return len(counted) == len(numbers) > 1 and all(b - a == 1 for a, b in pairwise(counted))


def split_cells(head: str, delimiter: str, *, quoted: bool = True) -> list[list[str]]:
    """Split the first lines into cells; skip empty lines."""
    return [row for row in csv_reader(io.StringIO(head, newline=""), delimiter, quoted=quoted) if row]


def _number(cell: str, *more: str) -> bool:
    text = cell.strip()
    return text in more or NUMBER.fullmatch(text) is not None
