"""Equal keys: number the keys of a joined table, and find those of other rows; types that differ are refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.data.joins.rule import JoinRule
from tiltyard.data.tables.column_types import ColumnType, convert, strip_cells
from tiltyard.errors import DataError, format_value

if TYPE_CHECKING:
    import pyarrow as pa

NUMBERS = ("integer", "number")
EXACT = 1 << 53  # whole numbers up to this are exact as floats
MAX_CODES = 1 << 62  # of keys of several columns together


@dataclass(frozen=True)
class KeyColumn:
    """A column of a key: its name and type in one of the tables."""

    table: str
    name: str
    type: ColumnType

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self.name} of {self.table}"


@dataclass(frozen=True)
class KeyCodes:
    """Numbers for the distinct values of each key of a joined table."""

    known: list[pa.Array]  # the distinct values of each column
    kinds: list[str]  # the Arrow types in which they are compared

    def of(self, cells: list[pa.Array]) -> Array:
        """Return the number of each row's key; -1 for one that is not known, or has a missing cell."""
        import pyarrow.compute as pc

        codes = np.zeros(len(cells[0]), dtype=np.int64)
        unknown = np.zeros(len(codes), dtype=bool)
        for column, known in zip(cells, self.known, strict=True):
            places = pc.index_in(column, value_set=known).fill_null(-1).to_numpy().astype(np.int64)
            codes, unknown = codes * max(1, len(known)) + places, unknown | (places < 0)
        return np.where(unknown, -1, codes)


def numbered(cells: list[pa.Array], kinds: list[str], name: str) -> KeyCodes:
    """Number the keys of a joined table."""
    known = [column.drop_null().unique() for column in cells]
    if float(np.prod([float(max(1, len(values))) for values in known])) > MAX_CODES:
        raise DataError(f"joins.{name}.key: expected fewer different values in its {len(known)} columns together")
    return KeyCodes(known, kinds)


def common_kind(rule: JoinRule, name: str, main: KeyColumn, joined: KeyColumn) -> str:
    """Return the Arrow type in which two columns are compared; refuse types that differ unless the task says how."""
    if rule.match:
        return {"text": "string", "number": "float64"}[rule.match]
    kinds = {main.type.kind, joined.type.kind}
    if len(kinds) == 1 or kinds <= {*NUMBERS}:
        kind = main.type.kind if len(kinds) == 1 else "number"
        return {"text": "string", "integer": "int64", "number": "float64", "boolean": "bool"}[kind]
    text = f"joins.{name}.key: expected one type; received {_described(main)}, and {_described(joined)}"
    how = f"joins.{name}.match: number (01 is 1), or match: text, as written (01 is not 1)"
    raise DataError(text, hint=f"say how to compare them: {how}")


def _described(column: KeyColumn) -> str:
    kinds = {"text": "text, such as 01", "integer": "whole numbers", "number": "numbers", "boolean": "true and false"}
    return f"{kinds[column.type.kind]}, in {column.place}"


def comparable(cells: pa.Array, column: KeyColumn, kind: str, name: str) -> pa.Array:
    """Return cells in the type in which they are compared, without blanks around texts; an empty text is missing."""
    from pyarrow import types

    if types.is_string(cells.type) and kind != "string":
        if column.type.kind == "text":
            return _numbers(strip_cells(cells, [""]), column, name)
        cells = convert(cells, column.type, [""])  # the task reads this column as text for another purpose
    if kind == "string":
        return strip_cells(cells.cast("string"), [""])
    if kind == "float64" and types.is_integer(cells.type):
        _require_exact(cells, column, name)
    return cells.cast(kind)


def _numbers(cells: pa.Array, column: KeyColumn, name: str) -> pa.Array:
    """Return texts as numbers; refuse one that is no number."""
    import pandas as pd
    import pyarrow as pa

    texts: pd.Series[Any] = cells.to_pandas()
    numbers = pd.to_numeric(texts, errors="coerce").astype("float64")
    if (wrong := (numbers.isna() & texts.notna()).to_numpy()).any():
        received = format_value(texts.iloc[int(wrong.argmax())])
        text = f"joins.{name}.match: expected numbers in {column.place}; received {received}"
        raise DataError(text, hint=f"compare as written: joins.{name}.match: text")
    return pa.array(numbers.to_numpy(), mask=numbers.isna().to_numpy())


def _require_exact(cells: pa.Array, column: KeyColumn, name: str) -> None:
    import pyarrow.compute as pc

    largest = pc.max(pc.abs_checked(cells)).as_py() or 0
    if largest > EXACT:
        text = f"joins.{name}.key: expected whole numbers up to {EXACT:,} beside numbers with fractions"
        raise DataError(f"{text}; received {largest:,} in {column.place}", hint=f"set joins.{name}.match: text")
