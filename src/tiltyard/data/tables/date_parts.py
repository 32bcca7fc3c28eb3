"""Dates that a table spreads over several columns, such as year, month and day: one more column of text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tiltyard.data.tables.column_types import ColumnType
from tiltyard.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

MARKS = ("", "-", "-", " ", ":", ":")  # before year, month, day, hour, minute, second
NAMES = (  # of columns with each part of a date
    re.compile(r"(?i)(.*[_ ])?(year|yr|jahr|año|ano|annee|année)"),
    re.compile(r"(?i)(.*[_ ])?(month|mon|mo|monat|mes|mois)"),
    re.compile(r"(?i)(.*[_ ])?(day|dayofmonth|day_of_month|tag|dia|día|jour|dy)"),
    re.compile(r"(?i)(.*[_ ])?(hour|hr|stunde|hora|heure)"),
    re.compile(r"(?i)(.*[_ ])?(minute|min)"),
)
RANGES = ((1000, 2999), (1, 12), (1, 31), (0, 23), (0, 59))


def with_dates(columns: Mapping[str, ColumnType], dates: Mapping[str, Sequence[str]]) -> dict[str, ColumnType]:
    """Return the columns and those that are made of several; raise if a part is no column of whole numbers."""
    date_columns = {}
    for name, parts in dates.items():
        if name in columns:
            raise DataError(f"source.read.dates: expected a new name; the file has a column {name}")
        for part in parts:
            if part not in columns or columns[part].kind not in ("integer", "number"):
                received = f"one of {columns[part].kind}" if part in columns else f"only {', '.join(columns)}"
                raise DataError(
                    f"source.read.dates.{name}: expected a column {part} of whole numbers; received {received}"
                )
        date_columns[name] = ColumnType("text", missing=any(columns[part].missing for part in parts))
    return {**columns, **date_columns}


def joined(parts: Sequence[pa.ChunkedArray]) -> pa.Array:
    """Return the parts as dates, such as 2024-03-01 or 2024-03-01 05:00; a missing part makes a date missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts: list[pa.ChunkedArray | str] = []
    for place, (mark, cells) in enumerate(zip(MARKS, parts, strict=False)):
        digits = cells.cast(pa.int64(), safe=False).cast(pa.string())
        texts += [mark, pc.utf8_lpad(digits, 2 if place else 4, "0")]
    text = pc.binary_join_element_wise(*texts, "")
    return pc.binary_join_element_wise(text, ":00", "") if len(parts) == 4 else text


def find(columns: Mapping[str, ColumnType], ranges: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return the columns that are year, month and day, and more if there are, by their names and ranges."""
    part_names = []
    for pattern, (low, high) in zip(NAMES, RANGES, strict=True):
        numbers = [name for name, column in columns.items() if column.kind == "integer" and pattern.fullmatch(name)]
        fitting = [name for name in numbers if name in ranges and low <= ranges[name][0] <= ranges[name][1] <= high]
        if len(fitting) != 1:
            break
        part_names += fitting
    return part_names if len(part_names) > 1 else []
