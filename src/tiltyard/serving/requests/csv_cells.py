"""Cells of a CSV body, read as training reads a file of them: delimiter, missing values and styles of numbers.

Without Arrow, and fast where numbers are written as Python writes them: only columns with commas are looked at closely.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Mapping
from typing import Any

from tiltyard.data.tables.column_types import BOOLEANS, CODE, ColumnType, styles
from tiltyard.data.tables.dialect import Dialect
from tiltyard.data.tables.type_inference import choose
from tiltyard.errors import RequestError, shown

DELIMITERS = (",", ";", "\t", "|")  # a comma is what the media type promises
BLANKS = ' "\t\x0b\x0c\x1c\x1d\x1e\x1f'  # of ASCII, and the quotes between which ends of lines stand

Cells = dict[str, list[Any]]


def read(text: str, names: Mapping[str, bool], most: int, dialect: Dialect) -> Cells:
    """Return the cells of named columns, None where a value is missing; `names` says which hold numbers.

    Reading stops behind the last row that may be answered.
    """
    delimiter, places, rows = _headed(text, names, dialect)
    width, found = len(places), list[list[str]]()
    for row in rows:
        if not row:
            continue
        if len(row) != width:
            message = f"expected {width} cells; received {len(row)}"
            raise RequestError("wrong_shape", message, f"instances[{len(found)}]")
        found.append(row)
        if len(found) > most:
            break  # `parse` refuses them all
    blanks = not text.isascii() or any(map(text.__contains__, BLANKS))  # without any, no cell has to be trimmed
    missing = frozenset(dialect.missing)

    def column(place: int) -> list[Any]:
        cells = [row[place] for row in found]
        if not blanks and missing.isdisjoint(cells):
            return cells
        return _bare([None if cell.strip() in missing else cell for cell in cells])

    cells = {name: column(places[name]) for name in names}
    if not dialect.thousands and ('"' if delimiter == "," else ",") not in text:  # no cell holds a comma
        return cells
    column_types = _meanings({name: column(place) for name, place in places.items()}, dialect, delimiter)
    numbers = [name for name, number in names.items() if number and name in column_types]
    return {**cells, **{name: _plain(cells[name], column_types[name]) for name in numbers}}


def _bare(cells: list[Any]) -> list[Any]:
    """Trim cells that all begin with a blank: it stands behind the delimiter and belongs to no value."""
    if all(cell.startswith(" ") for cell in cells if cell is not None):
        return [cell and cell.strip() for cell in cells]
    return cells


def _headed(text: str, names: Collection[str], dialect: Dialect) -> tuple[str, dict[str, int], Any]:
    """Return the delimiter by which the header holds all names, the place of each, and the rows that follow."""
    first: tuple[str, dict[str, int], Any] | None = None
    for delimiter in [dialect.delimiter] if dialect.delimiter else DELIMITERS:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = [name.strip() for name in next(rows, [])]
        places = {name: place for place, name in enumerate(header)}
        first = first or (delimiter, places, rows)
        if all(name in places for name in names):
            if len(places) < len(header):
                twice = next(name for place, name in enumerate(header) if places[name] != place)
                raise RequestError("malformed_csv", f"expected each column once; received {shown(twice)} twice")
            return delimiter, places, rows
    lost = next(name for name in names if not first or name not in first[1])
    raise RequestError("missing_field", f"expected the columns {', '.join(names)}", lost)


def _meanings(cells: Cells, dialect: Dialect, delimiter: str) -> dict[str, ColumnType]:
    """Return how numbers are written in columns, where all columns together show what their commas and points mean."""
    known = styles(dialect, delimiter)
    present = {name: [cell.strip() for cell in column if cell] for name, column in cells.items()}
    left = {
        name: [] if any(map(CODE.match, column)) else [one for one in known if _holds(known[one], column)]
        for name, column in present.items()
        if column
    }
    return {name: known[style] for name, style in choose(left).items() if style in known}


def _holds(column_type: ColumnType, cells: list[str]) -> bool:
    if column_type.kind == "boolean":
        return all(cell in BOOLEANS for cell in cells)
    return all(map(re.compile(column_type.pattern).search, cells))


def _plain(cells: list[Any], column_type: ColumnType) -> list[Any]:
    """Write numbers as Python does."""
    if column_type.plain or column_type.kind == "boolean":
        return cells
    return [
        cell and cell.strip().replace(column_type.thousands, "").replace(column_type.decimal, ".") for cell in cells
    ]
