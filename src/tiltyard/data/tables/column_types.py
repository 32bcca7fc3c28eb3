"""Types of columns read from text: booleans, integers, numbers in one of several styles, or text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from tiltyard.arrays import Array
from tiltyard.data.tables.dialect import Dialect

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["boolean", "integer", "number", "text"]
ARROW = {"boolean": "bool", "integer": "int64", "number": "float64", "text": "string"}
CODE = re.compile("0[0-9xX]")  # the start of a code, such as 007 or 0x1f, which is not a quantity
MAY_BE_BLANK = (np.arange(256) <= ord(" ")) | (np.arange(256) >= 127)  # by the first or last byte of a text
BOOLEANS = ("true", "True", "TRUE", "false", "False", "FALSE")


@dataclass(frozen=True)
class ColumnType:
    """The type of a column, and the style of its numbers."""

    kind: Kind
    missing: bool = False  # whether there are rows without a value
    decimal: str = "."
    thousands: str = ""
    leading_blank: bool = False  # whether every text begins with a blank, as after a comma

    @property
    def plain(self) -> bool:
        """Whether its numbers are written in Python's style."""
        return self.decimal == "." and not self.thousands

    @property
    def dtype(self) -> str | None:
        """The pandas dtype that all parts need, if parts without missing values would get another; else None."""
        return {"integer": "float64", "boolean": "object"}.get(self.kind) if self.missing else None

    @property
    def pattern(self) -> str:
        """The regular expression of a number in this style; integers have no more digits than 64 bits hold."""
        group, point = (f"[{mark}]" if mark else "" for mark in (self.thousands, self.decimal))
        if self.kind == "integer":
            return r"^[+-]?(\d{1,18}" + (rf"|\d{{1,3}}({group}\d{{3}}){{1,5}})$" if group else ")$")
        integer = rf"(\d{{1,3}}({group}\d{{3}})+|\d+)" if group else r"\d+"
        return rf"^[+-]?({integer}({point}\d*)?|{point}\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity)$"


STYLES = {  # the simplest first: a column gets the first style that fits every cell
    "boolean": ColumnType("boolean"),
    "integer": ColumnType("integer"),
    "number": ColumnType("number"),
    "comma-grouped integer": ColumnType("integer", thousands=","),
    "comma-grouped": ColumnType("number", thousands=","),
    "decimal comma": ColumnType("number", decimal=","),
    "dot-grouped integer": ColumnType("integer", decimal=",", thousands="."),
    "dot-grouped": ColumnType("number", decimal=",", thousands="."),
}


def styles(dialect: Dialect, delimiter: str) -> dict[str, ColumnType]:
    """Return the styles that a column may have: those that `dialect` sets, else all that the delimiter allows."""
    if dialect.decimal is None and dialect.thousands is None:
        return {name: style for name, style in STYLES.items() if style.decimal != delimiter}
    decimal, thousands = dialect.decimal or ".", dialect.thousands or ""
    integer = ColumnType("integer", decimal=decimal, thousands=thousands)
    number = ColumnType("number", decimal=decimal, thousands=thousands)
    return {
        "boolean": STYLES["boolean"],
        "integer": STYLES["integer"],
        "configured integer": integer,
        "configured": number,
    }


def strip_cells(cells: pa.Array, na: Sequence[str]) -> pa.Array:
    """Strip blanks, and replace texts that mean a missing value by null; those without blanks are null already."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not _may_have_blanks(cells.drop_null()):
        return cells
    bare = pc.utf8_trim_whitespace(cells)
    return pc.if_else(pc.is_in(bare, pa.array(na, "string")), None, bare)


def _may_have_blanks(values: pa.Array) -> bool:
    """Return whether some text is empty, or begins or ends with a blank or with a character that is not ASCII."""
    offsets, content = text_buffers(values)
    starts, ends = offsets[:-1], offsets[1:]
    if (starts == ends).any():
        return True
    return any(MAY_BE_BLANK.take(content.take(places)).any() for places in (starts, ends - 1))


def text_buffers(values: pa.Array) -> tuple[Array, Array]:
    """Return where each text begins and the last ends, and the bytes of all; without missing values."""
    if not len(values):
        return np.zeros(1, dtype=np.int32), np.empty(0, dtype=np.uint8)
    _, offsets, content = values.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[values.offset : values.offset + len(values) + 1]
    return ends, np.frombuffer(content or b"", dtype=np.uint8)


def convert(cells: pa.Array, column_type: ColumnType, na: Sequence[str]) -> pa.Array:
    """Convert cells of text to a column type."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = ARROW[column_type.kind]
    if column_type.plain and column_type.kind in ("integer", "number"):
        try:
            return cells.cast(kind)
        except pa.ArrowInvalid:
            pass  # blanks around the numbers
    bare = strip_cells(cells, na)
    if column_type.kind == "text":
        return bare if column_type.leading_blank else pc.if_else(pc.is_null(bare), None, cells)
    if column_type.kind == "boolean":
        return pc.utf8_lower(bare).cast(kind)
    if column_type.thousands:
        bare = pc.replace_substring(bare, column_type.thousands, "")
    bare = pc.replace_substring(bare, column_type.decimal, ".")
    return pc.replace_substring_regex(bare, r"^\+", "").cast(kind)
