"""What the cells of a column rule out: one pass over a whole file, so that a meaning depends on no sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tiltyard.data.tables.column_types import ARROW, CODE, TRUTHS, ColumnType, trimmed

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class TypeInference:
    """What the cells of one column, looked at so far, can be."""

    styles: dict[str, ColumnType]
    na: Sequence[str]
    filled: int = 0
    missing: int = 0
    blank: bool = True  # whether every value begins with a blank
    digits: bool = True  # whether every value is digits alone
    gone: set[str] = field(default_factory=set)  # the styles that some cell rules out

    def add(self, cells: pa.Array) -> None:
        """Look at more cells."""
        values = cells.drop_null()
        if not self._plain(values):
            self.blank = self.blank and _all_start_with_blank(values)
            values = trimmed(values, self.na).drop_null()
            coded = _coded(values)
            numbers = {name for name, style in self.styles.items() if coded and style.kind != "truth"}
            self.gone |= {name for name in self.styles if name in numbers or self._fails(name, values)}
            self.digits = self.digits and _match(values, r"^\d+$")
        self.filled += len(values)
        self.missing += len(cells) - len(values)

    def _plain(self, values: pa.Array) -> bool:
        """Take numbers as Python writes them with a shorter look: there are many, and they rule out little."""
        if not len(values) or _coded(values):
            return False
        if "whole" in self.styles and not self._fails("whole", values):
            self.gone.add("truth")
        elif "number" in self.styles and not self._fails("number", values):
            others = [name for name, style in self.styles.items() if not style.plain and name != "grouped"]
            self.gone |= {"truth", "whole", *(name for name in others if self._fails(name, values))}
            self.digits = self.digits and _match(values, r"^\d+$")
        else:
            return False
        self.blank = False
        return True

    def _fails(self, name: str, values: pa.Array) -> bool:
        """Return whether a style is ruled out, by these cells or by those before."""
        import pyarrow as pa
        import pyarrow.compute as pc

        style = self.styles[name]
        if name in self.gone:
            return True
        if style.kind == "truth":
            return pc.all(pc.is_in(values, pa.array(TRUTHS))).as_py() is False
        if not style.plain:
            return not _match(values, style.pattern)
        try:
            values.cast(ARROW[style.kind])
        except pa.ArrowInvalid:
            return True
        return False

    @property
    def names(self) -> list[str]:
        """The styles that are left, simplest first; none if it is text."""
        names = [name for name in self.styles if name not in self.gone]
        too_long = self.digits and "whole" not in names and "number" in names
        return [] if too_long else names  # a row of digits that 64 bits do not hold is a code


def _all_start_with_blank(values: pa.Array) -> bool:
    import pyarrow.compute as pc

    return pc.all(pc.starts_with(values, " ")).as_py() is not False


def _match(values: pa.Array, expression: str) -> bool:
    import pyarrow.compute as pc

    return pc.all(pc.match_substring_regex(values, expression)).as_py() is not False


def _coded(values: pa.Array) -> bool:
    """Return whether there is a code, such as 007 or 0x1f: no quantity is written so."""
    import pyarrow.compute as pc

    first = values.filter(pc.and_not(pc.starts_with(values, "0"), pc.starts_with(values, "0.")))
    return pc.any(pc.match_substring_regex(first, f"^{CODE.pattern}")).as_py() is True


def infer(tallies: dict[str, TypeInference]) -> tuple[dict[str, ColumnType], list[str]]:
    """Return each column's meaning, and in sentences what is read otherwise than it is written.

    1,234 and 1.234 may be thousands or a fraction: the other columns decide, and if they do not, it stays text.
    """
    chosen = choose({name: tally.names for name, tally in tallies.items() if tally.filled})
    meanings = {name: _meaning(tally, chosen.get(name, "number")) for name, tally in tallies.items()}
    told = {
        "thousands separators removed in": [n for n, style in chosen.items() if style in ("grouped", "whole grouped")],
        "decimal commas read as points in": [n for n, style in chosen.items() if style == "comma"],
        "points removed and decimal commas read as points in": [n for n, s in chosen.items() if "pointed" in s],
        "blanks before the text dropped in": [n for n, meaning in meanings.items() if meaning.blank],
        "left as text, since a mark in its numbers may be decimal or of thousands (say so in source.read):": [
            n for n, style in chosen.items() if style == "unclear"
        ],
    }
    return meanings, [f"{what} {', '.join(names)}" for what, names in told.items() if names]


def choose(left: dict[str, list[str]]) -> dict[str, str]:
    """Return the style of each column, of those that are left to it, by what all columns show together."""
    commas = any(names and names[0] in ("comma", "whole pointed", "pointed") for names in left.values())
    points = any(_points(names) for names in left.values())
    return {name: _chosen(names, commas=commas, points=points) for name, names in left.items()}


def _points(names: list[str]) -> bool:
    """Return whether a column proves that points are decimal: 1.5, or 1,234,567."""
    return bool({"number", "grouped"} & set(names)) and "whole" not in names and not {"comma", "pointed"} & set(names)


def _chosen(names: list[str], *, commas: bool, points: bool) -> str:
    first = names[0] if names else "text"
    if first == "number" and "pointed" in names and commas:
        return "unclear"
    if first in ("grouped", "whole grouped") and "comma" in names:
        return first if points and not commas else "comma" if commas and not points else "unclear"
    return first


def _meaning(tally: TypeInference, style: str) -> ColumnType:
    meaning = tally.styles.get(style) or (tally.styles["named"] if style == "number" else ColumnType("text"))
    blank = meaning.kind == "text" and tally.blank and tally.filled > 0
    return replace(meaning, missing=tally.missing > 0, blank=blank)
