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


def read(text: str, names: Mapping[str, bool], max_rows: int, dialect: Dialect) -> Cells:
    """Return the cells of named columns, None for missing values; `names` maps each to whether it holds numbers.

    Reading stops after `max_rows` + 1 rows, since the request is then refused.
    """
    delimiter, indices, rows = _read_header(text, names, dialect)
    width, records = len(indices), list[list[str]]()
    for row in rows:
        if not row:
            continue
        if len(row) != width:
            message = f"expected {width} cells; received {len(row)}"
            raise RequestError("wrong_shape", message, f"instances[{len(records)}]")
        records.append(row)
        if len(records) > max_rows:
            break  # the encoder refuses the request
    has_blanks = not text.isascii() or any(map(text.__contains__, BLANKS))  # without blanks, no cell needs stripping
    missing = frozenset(dialect.missing)

    def column(index: int) -> list[Any]:
        cells = [row[index] for row in records]
        if not has_blanks and missing.isdisjoint(cells):
            return cells
        return _strip_leading_blanks([None if cell.strip() in missing else cell for cell in cells])

    cells = {name: column(indices[name]) for name in names}
    if not dialect.thousands and ('"' if delimiter == "," else ",") not in text:  # no cell holds a comma
        return cells
    column_types = _number_styles({name: column(index) for name, index in indices.items()}, dialect, delimiter)
    numbers = [name for name, number in names.items() if number and name in column_types]
    return {**cells, **{name: _to_python_numbers(cells[name], column_types[name]) for name in numbers}}


def _strip_leading_blanks(cells: list[Any]) -> list[Any]:
    """Strip cells if all of them begin with a blank, which then belongs to the delimiter."""
    if all(cell.startswith(" ") for cell in cells if cell is not None):
        return [cell and cell.strip() for cell in cells]
    return cells


def _read_header(text: str, names: Collection[str], dialect: Dialect) -> tuple[str, dict[str, int], Any]:
    """Return the delimiter with which the header has all names, the index of each column, and the other rows."""
    first_attempt: tuple[str, dict[str, int], Any] | None = None
    for delimiter in [dialect.delimiter] if dialect.delimiter else DELIMITERS:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = [name.strip() for name in next(rows, [])]
        indices = {name: index for index, name in enumerate(header)}
        first_attempt = first_attempt or (delimiter, indices, rows)
        if all(name in indices for name in names):
            if len(indices) < len(header):
                repeated = next(name for index, name in enumerate(header) if indices[name] != index)
                raise RequestError(
                    "malformed_csv", f"expected each column once; received {format_value(repeated)} twice"
                )
            return delimiter, indices, rows
    missing = next(name for name in names if not first_attempt or name not in first_attempt[1])
    raise RequestError("missing_field", f"expected the columns {', '.join(names)}", missing)


def _number_styles(cells: Cells, dialect: Dialect, delimiter: str) -> dict[str, ColumnType]:
    """Return the number format of each column, inferred from all columns together."""
    formats = styles(dialect, delimiter)
    values = {name: [cell.strip() for cell in column if cell] for name, column in cells.items()}
    candidates = {
        name: [] if any(map(CODE.match, column)) else [style for style in formats if _matches(formats[style], column)]
        for name, column in values.items()
        if column
    }
    return {name: formats[style] for name, style in choose(candidates).items() if style in formats}


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
