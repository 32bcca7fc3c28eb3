"""Type inference of columns: one pass over all cells of a file rules out types, so that no sample decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from tiltyard.data.tables.column_types import ARROW, BOOLEANS, ColumnType, strip_cells, text_buffers

if TYPE_CHECKING:
    import pyarrow as pa


AFTER_ZERO = np.isin(np.arange(256), list(b"0123456789xX"))  # the second byte of a code, as in column_types.CODE


@dataclass
class TypeInference:
    """The types and number styles that fit all cells of one column so far."""

    styles: dict[str, ColumnType]
    na: Sequence[str]
    present: int = 0
    missing: int = 0
    leading_blank: bool = True  # whether every value begins with a blank
    all_digits: bool = True  # whether every value consists of digits alone
    ruled_out: set[str] = field(default_factory=set)  # the styles that do not fit some cell

    def add(self, cells: pa.Array) -> None:
        """Rule out the styles that do not fit these cells."""
        values = cells.drop_null()
        if not self._plain(values):
            self.leading_blank = self.leading_blank and _all_start_with_blank(values)
            values = strip_cells(values, self.na).drop_null()
            if len(self.ruled_out) < len(self.styles):
                coded = _has_code(values)
                numbers = {name for name, style in self.styles.items() if coded and style.kind != "boolean"}
                self.ruled_out |= {name for name in self.styles if name in numbers or self._fails(name, values)}
            self.all_digits = self.all_digits and _all_match(values, r"^\d+$")
        self.present += len(values)
        self.missing += len(cells) - len(values)

    def _plain(self, values: pa.Array) -> bool:
        """Handle a block of numbers in Python's style by fewer tests, for speed; return whether it was one."""
        if not len(values) or not {"integer", "number"} - self.ruled_out or _has_code(values):
            return False
        if "integer" in self.styles and not self._fails("integer", values):
            self.ruled_out.add("boolean")
        elif "number" in self.styles and not self._fails("number", values):
            candidates = [name for name, style in self.styles.items() if not style.plain and name != "comma-grouped"]
            self.ruled_out |= {"boolean", "integer", *(name for name in candidates if self._fails(name, values))}
            self.all_digits = self.all_digits and _all_match(values, r"^\d+$")
        else:
            return False
        self.leading_blank = False
        return True

    def _fails(self, name: str, values: pa.Array) -> bool:
        """Return whether a style is ruled out by these cells or earlier ones."""
        import pyarrow as pa
        import pyarrow.compute as pc

        style = self.styles[name]
        if name in self.ruled_out:
            return True
        if style.kind == "boolean":
            return pc.all(pc.is_in(values, pa.array(BOOLEANS))).as_py() is False
        if not style.plain:
            return not _all_match(values, style.pattern)
        try:
            values.cast(ARROW[style.kind])
        except pa.ArrowInvalid:
            return True
        return False

    @property
    def possible(self) -> list[str]:
        """The styles that are left, simplest first; empty for text."""
        possible = [name for name in self.styles if name not in self.ruled_out]
        too_long = self.all_digits and "integer" not in possible and "number" in possible
        return [] if too_long else possible  # digits that exceed 64 bits are a code


def _all_start_with_blank(values: pa.Array) -> bool:
    import pyarrow.compute as pc

    return pc.all(pc.starts_with(values, " ")).as_py() is not False


def _all_match(values: pa.Array, expression: str) -> bool:
    import pyarrow.compute as pc

    return pc.all(pc.match_substring_regex(values, expression)).as_py() is not False


def _has_code(values: pa.Array) -> bool:
    """Return whether there is a code, such as 007 or 0x1f, which is not a quantity."""
    offsets, content = text_buffers(values)
    starts = offsets[:-1][np.diff(offsets) > 1]
    zeros = starts[content.take(starts) == ord("0")]
    return bool(AFTER_ZERO.take(content.take(zeros + 1)).any())


def infer(inferences: dict[str, TypeInference]) -> tuple[dict[str, ColumnType], list[str]]:
    """Return the type of each column, and the repairs that this needs, in sentences.

    The separator in 1,234 or 1.234 may be for thousands or decimals: the other columns decide; else it stays text.
    """
    chosen = choose({name: inference.possible for name, inference in inferences.items() if inference.present})
    column_types = {name: _column_type(inference, chosen.get(name, "number")) for name, inference in inferences.items()}
    repairs = {
        "thousands separators removed in": [
            n for n, style in chosen.items() if style in ("comma-grouped", "comma-grouped integer")
        ],
        "decimal commas read as points in": [n for n, style in chosen.items() if style == "decimal comma"],
        "points removed and decimal commas read as points in": [n for n, s in chosen.items() if "dot-grouped" in s],
        "blanks before the text dropped in": [
            n for n, column_type in column_types.items() if column_type.leading_blank
        ],
        "left as text, since a separator may be for decimals or thousands (set source.read.decimal or .thousands):": [
            n for n, style in chosen.items() if style == "ambiguous"
        ],
    }
    return column_types, [f"{repair} {', '.join(possible)}" for repair, possible in repairs.items() if possible]


def choose(left: dict[str, list[str]]) -> dict[str, str]:
    """Choose one of the possible styles for each column, by the evidence of all columns together."""
    commas = any(
        possible and possible[0] in ("decimal comma", "dot-grouped integer", "dot-grouped")
        for possible in left.values()
    )
    points = any(_points(possible) for possible in left.values())
    return {name: _choose_style(possible, commas=commas, points=points) for name, possible in left.items()}


def _points(possible: list[str]) -> bool:
    """Return whether a column proves that the decimal separator is a point: 1.5, or 1,234,567."""
    return (
        bool({"number", "comma-grouped"} & set(possible))
        and "integer" not in possible
        and not {"decimal comma", "dot-grouped"} & set(possible)
    )


def _choose_style(possible: list[str], *, commas: bool, points: bool) -> str:
    first = possible[0] if possible else "text"
    if first == "number" and "dot-grouped" in possible and commas:
        return "ambiguous"
    if first in ("comma-grouped", "comma-grouped integer") and "decimal comma" in possible:
        return first if points and not commas else "decimal comma" if commas and not points else "ambiguous"
    return first


def _column_type(inference: TypeInference, style: str) -> ColumnType:
    column_type = inference.styles.get(style) or (
        inference.styles["configured"] if style == "number" else ColumnType("text")
    )
    leading_blank = column_type.kind == "text" and inference.leading_blank and inference.present > 0
    return replace(column_type, missing=inference.missing > 0, leading_blank=leading_blank)
