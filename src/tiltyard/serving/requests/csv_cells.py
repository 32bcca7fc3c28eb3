"""CSV parsing for request bodies, by the same rules as training files: delimiter, missing values, number formats.

It does not need Arrow, and is fast for plain numbers: only cells with commas need their number format inferred.
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
from tiltyard.errors import RequestError, format_value

DELIMITERS = (",", ";", "\t", "|")  # the comma first: it is the standard of text/csv
BLANKS = ' "\t\x0b\x0c\x1c\x1d\x1e\x1f'  # in ASCII; quotes may enclose line breaks

Cells = dict[str, list[Any]]


def read(text: str, names: Mapping[str, bool], most: int, dialect: Dialect) -> Cells:
    """Return the cells of named columns, None for missing values; `names` maps each to whether it holds numbers.

    Reading stops after `most` + 1 rows, since the request is then refused.
    """
    delimiter, places, rows = _read_header(text, names, dialect)
    width, found = len(places), list[list[str]]()
    for row in rows:
        if not row:
            continue
        if len(row) != width:
            message = f"expected {width} cells; received {len(row)}"
            raise RequestError("wrong_shape", message, f"instances[{len(found)}]")
        found.append(row)
        if len(found) > most:
            break  # the encoder refuses the request
    blanks = not text.isascii() or any(map(text.__contains__, BLANKS))  # without blanks, no cell needs stripping
    missing = frozenset(dialect.missing)

    def column(place: int) -> list[Any]:
        cells = [row[place] for row in found]
        if not blanks and missing.isdisjoint(cells):
            return cells
        return _strip_leading_blanks([None if cell.strip() in missing else cell for cell in cells])

    cells = {name: column(places[name]) for name in names}
    if not dialect.thousands and ('"' if delimiter == "," else ",") not in text:  # no cell holds a comma
        return cells
    column_types = _number_styles({name: column(place) for name, place in places.items()}, dialect, delimiter)
    numbers = [name for name, number in names.items() if number and name in column_types]
    return {**cells, **{name: _to_python_numbers(cells[name], column_types[name]) for name in numbers}}


def _strip_leading_blanks(cells: list[Any]) -> list[Any]:
    """Strip cells if all of them begin with a blank, which then belongs to the delimiter."""
    if all(cell.startswith(" ") for cell in cells if cell is not None):
        return [cell and cell.strip() for cell in cells]
    return cells


def _read_header(text: str, names: Collection[str], dialect: Dialect) -> tuple[str, dict[str, int], Any]:
    """Return the delimiter with which the header has all names, the index of each column, and the other rows."""
    first: tuple[str, dict[str, int], Any] | None = None
    for delimiter in [dialect.delimiter] if dialect.delimiter else DELIMITERS:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = [name.strip() for name in next(rows, [])]
        places = {name: place for place, name in enumerate(header)}
        first = first or (delimiter, places, rows)
        if all(name in places for name in names):
            if len(places) < len(header):
                twice = next(name for place, name in enumerate(header) if places[name] != place)
                raise RequestError("malformed_csv", f"expected each column once; received {format_value(twice)} twice")
            return delimiter, places, rows
    lost = next(name for name in names if not first or name not in first[1])
    raise RequestError("missing_field", f"expected the columns {', '.join(names)}", lost)


def _number_styles(cells: Cells, dialect: Dialect, delimiter: str) -> dict[str, ColumnType]:
    """Return the number format of each column, inferred from all columns together."""
    known = styles(dialect, delimiter)
    present = {name: [cell.strip() for cell in column if cell] for name, column in cells.items()}
    left = {
        name: [] if any(map(CODE.match, column)) else [one for one in known if _matches(known[one], column)]
        for name, column in present.items()
        if column
    }
    return {name: known[style] for name, style in choose(left).items() if style in known}


def _matches(column_type: ColumnType, cells: list[str]) -> bool:
    if column_type.kind == "boolean":
        return all(cell in BOOLEANS for cell in cells)
    return all(map(re.compile(column_type.pattern).search, cells))


def _to_python_numbers(cells: list[Any], column_type: ColumnType) -> list[Any]:
    """Return cells with thousands separators removed and a decimal point."""
    if column_type.plain or column_type.kind == "boolean":
        return cells
    return [
        cell and cell.strip().replace(column_type.thousands, "").replace(column_type.decimal, ".") for cell in cells
    ]
