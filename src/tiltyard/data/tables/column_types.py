"""What a column of text means: true or false, whole numbers, numbers in one of several styles, or text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tiltyard.data.tables.dialect import Dialect

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["truth", "whole", "number", "text"]
ARROW = {"truth": "bool", "whole": "int64", "number": "float64", "text": "string"}
CODE = re.compile("0[0-9xX]")  # how a code begins, such as 007 or 0x1f: no quantity is written so
TRUTHS = ("true", "True", "TRUE", "false", "False", "FALSE")


@dataclass(frozen=True)
class ColumnType:
    """What a column holds, and how its numbers are written."""

    kind: Kind
    missing: bool = False  # whether there are rows without a value
    decimal: str = "."
    thousands: str = ""
    blank: bool = False  # whether a blank stands before every text, as after a comma

    @property
    def plain(self) -> bool:
        """Whether its numbers are written as Python writes them."""
        return self.decimal == "." and not self.thousands

    @property
    def dtype(self) -> str | None:
        """What pandas is to hold it as, where parts without a missing value would be held otherwise."""
        return {"whole": "float64", "truth": "object"}.get(self.kind) if self.missing else None

    @property
    def pattern(self) -> str:
        """The regular expression of one of its numbers; a whole one has no more digits than 64 bits hold."""
        group, point = (f"[{mark}]" if mark else "" for mark in (self.thousands, self.decimal))
        if self.kind == "whole":
            return r"^[+-]?(\d{1,18}" + (rf"|\d{{1,3}}({group}\d{{3}}){{1,5}})$" if group else ")$")
        whole = rf"(\d{{1,3}}({group}\d{{3}})+|\d+)" if group else r"\d+"
        return rf"^[+-]?({whole}({point}\d*)?|{point}\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity)$"


STYLES = {  # the simplest first: of those that hold for every cell, the first is the column's
    "truth": ColumnType("truth"),
    "whole": ColumnType("whole"),
    "number": ColumnType("number"),
    "whole grouped": ColumnType("whole", thousands=","),
    "grouped": ColumnType("number", thousands=","),
    "comma": ColumnType("number", decimal=","),
    "whole pointed": ColumnType("whole", decimal=",", thousands="."),
    "pointed": ColumnType("number", decimal=",", thousands="."),
}


def styles(dialect: Dialect, delimiter: str) -> dict[str, ColumnType]:
    """Return the styles that a column may be in; no decimal commas where commas part the cells, unless named."""
    if dialect.decimal is None and dialect.thousands is None:
        return {name: style for name, style in STYLES.items() if style.decimal != delimiter}
    decimal, thousands = dialect.decimal or ".", dialect.thousands or ""
    whole = ColumnType("whole", decimal=decimal, thousands=thousands)
    number = ColumnType("number", decimal=decimal, thousands=thousands)
    return {"truth": STYLES["truth"], "whole": STYLES["whole"], "whole named": whole, "named": number}


def trimmed(cells: pa.Array, na: Sequence[str]) -> pa.Array:
    """Take blanks away, and what means missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bare = pc.utf8_trim_whitespace(cells)
    return pc.if_else(pc.is_in(bare, pa.array(na)), None, bare)


def convert(cells: pa.Array, meaning: ColumnType, na: Sequence[str]) -> pa.Array:
    """Return the cells as what they mean."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = ARROW[meaning.kind]
    if meaning.plain and meaning.kind in ("whole", "number"):
        try:
            return cells.cast(kind)
        except pa.ArrowInvalid:
            pass  # blanks around
    bare = trimmed(cells, na)
    if meaning.kind == "text":
        return bare if meaning.blank else pc.if_else(pc.is_null(bare), None, cells)
    if meaning.kind == "truth":
        return pc.utf8_lower(bare).cast(kind)
    if meaning.thousands:
        bare = pc.replace_substring(bare, meaning.thousands, "")
    bare = pc.replace_substring(bare, meaning.decimal, ".")
    return pc.replace_substring_regex(bare, r"^\+", "").cast(kind)
