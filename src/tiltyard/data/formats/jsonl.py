"""JSON lines: one object on each line; values keep their types, and a key that a line lacks is a missing value.

Objects in objects are unpacked, as structs in Parquet are.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from tiltyard.data.formats.base import Format, Layout
from tiltyard.data.tables import archive
from tiltyard.data.tables.column_types import ARROW, ColumnType, Kind
from tiltyard.data.tables.text_encoding import Utf8Stream
from tiltyard.errors import join_first

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 20_000  # of a batch
MAX_DEPTH = 5  # of objects in objects
INT64_LIMIT = 1 << 63  # larger integers are read as floats


class Jsonl(Format):
    """JSON lines."""

    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")

    def survey(self) -> Layout:
        """Find the type of every value of every key."""
        self.refuse_dialect()
        kinds_by_column: dict[str, Counter[str]] = {}
        repairs: list[str] = []
        rows = 0
        unpacked: dict[str, None] = {}
        for nested in self._objects(repairs):
            rows += 1
            row = flat(nested)
            unpacked |= dict.fromkeys(name for name in row if name not in nested)
            for name, value in row.items():
                kinds_by_column.setdefault(name, Counter())[_kind(value)] += 1
        if not kinds_by_column:
            raise self.error("expected one object on each line, with keys and values; the file is empty")
        mixtures = [
            f"{name} holds {' and '.join(mixed)}: read as text"
            for name in kinds_by_column
            if (mixed := _mixed(kinds_by_column[name]))
        ]
        repairs += [f"nested values unpacked: {join_first([*unpacked])}"] if unpacked else []
        return Layout(
            {name: _column_type(kinds, rows) for name, kinds in kinds_by_column.items()}, rows, [*repairs, *mixtures]
        )

    def batches(self, layout: Layout, names: list[str]) -> Iterator[pa.Table]:
        """Read the file a second time, by its layout."""
        import pyarrow as pa

        objects = map(flat, self._objects([]))
        while rows := list(islice(objects, ROWS)):
            yield pa.table({name: _cells(rows, name, layout.columns[name].kind) for name in names})

    def _objects(self, repairs: list[str]) -> Iterator[dict[str, Any]]:
        """Yield the objects; add the repairs to `repairs` after the last one."""
        decoder = msgspec.json.Decoder(dict[str, Any])
        with archive.open_stream(self.path) as (_, stream):
            decoding = Utf8Stream(stream, self.path.name)
            for number, line in enumerate(io.BufferedReader(decoding), start=1):
                if line.strip():
                    try:
                        yield decoder.decode(line)
                    except msgspec.MsgspecError as error:
                        raise self.error(f"line {number}: expected an object: {error}") from None
            repairs += decoding.repairs


def flat(row: dict[str, Any], depth: int = 1) -> dict[str, Any]:
    """Return an object with the values of objects in it, under the names of both."""
    if not any(type(value) is dict for value in row.values()):
        return row
    values: dict[str, Any] = {name: value for name, value in row.items() if type(value) is not dict}
    for name, value in row.items():
        if type(value) is dict and (depth >= MAX_DEPTH or not value):
            values[name] = value or None
        elif type(value) is dict:
            inner = flat(value, depth + 1)
            values |= {
                f"{name}_{key}" if f"{name}_{key}" not in row else f"{name}.{key}": v for key, v in inner.items()
            }
    return values


def _kind(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, int) and not isinstance(value, bool):
        return "integer" if -INT64_LIMIT <= value < INT64_LIMIT else "number"
    return {bool: "boolean", float: "number", str: "text"}.get(type(value), "nested values")


def _mixed(kinds: Counter[str]) -> list[str]:
    """Return the kinds of values that must be read as text, since no other type holds them all."""
    types = sorted(kinds.keys() - {"missing"})
    together = len(types) < 2 or types == ["integer", "number"]
    return [] if together and "nested values" not in types else types


def _column_type(kinds: Counter[str], rows: int) -> ColumnType:
    """Return the type that holds all values: numbers for integers and floats; text for other mixtures."""
    types = kinds.keys() - {"missing"}
    kind: Kind = "text"
    if types <= {"integer", "number"}:
        kind = "integer" if types == {"integer"} else "number"
    elif types == {"boolean"}:
        kind = "boolean"
    return ColumnType(kind, missing=kinds.total() < rows or kinds["missing"] > 0)


def _cells(rows: list[dict[str, Any]], name: str, kind: Kind) -> pa.Array:
    import pyarrow as pa

    values = [row.get(name) for row in rows]
    if kind == "text":
        values = [as_text(value) for value in values]
    elif kind == "number":
        values = [None if value is None else float(value) for value in values]
    return pa.array(values, ARROW[kind])


def as_text(value: Any) -> str | None:
    """Return a value as text, written in JSON unless it is text or missing."""
    return value if isinstance(value, str | None) else json.dumps(value, ensure_ascii=False, default=str)
