"""JSON lines: an object a line; values keep their types, and a key that a line lacks is a missing value."""

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

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 20_000  # of a batch
LARGEST = 1 << 63  # from here on a whole number is held as a float


class Jsonl(Format):
    """An object a line."""

    suffixes: ClassVar = (".jsonl", ".ndjson")

    def survey(self) -> Layout:
        """Note the kind of every value."""
        self.plain()
        seen: dict[str, Counter[str]] = {}
        repairs: list[str] = []
        rows = 0
        for row in self._objects(repairs):
            rows += 1
            for name, value in row.items():
                seen.setdefault(name, Counter())[_kind(value)] += 1
        if not seen:
            raise self.error("expected an object a line, with keys and values; the file is empty")
        told = [f"{name} holds {' and '.join(mixed)}: read as text" for name in seen if (mixed := _mixed(seen[name]))]
        return Layout({name: _meaning(kinds, rows) for name, kinds in seen.items()}, rows, [*repairs, *told])

    def batches(self, layout: Layout, names: list[str]) -> Iterator[pa.Table]:
        """Read again, by the layout."""
        import pyarrow as pa

        objects = self._objects([])
        while rows := list(islice(objects, ROWS)):
            yield pa.table({name: _cells(rows, name, layout.columns[name].kind) for name in names})

    def _objects(self, repairs: list[str]) -> Iterator[dict[str, Any]]:
        """Yield the objects; what was mended is known after the last."""
        decoder = msgspec.json.Decoder(dict[str, Any])
        with archive.opened(self.path) as (_, stream):
            decoding = Utf8Stream(stream, self.path.name)
            for number, line in enumerate(io.BufferedReader(decoding), start=1):
                if line.strip():
                    try:
                        yield decoder.decode(line)
                    except msgspec.MsgspecError as error:
                        raise self.error(f"line {number}: expected an object: {error}") from None
            repairs += decoding.repairs


def _kind(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, int) and not isinstance(value, bool):
        return "whole" if -LARGEST <= value < LARGEST else "number"
    return {bool: "truth", float: "number", str: "text"}.get(type(value), "nested values")


def _mixed(kinds: Counter[str]) -> list[str]:
    """Name the kinds that no type holds together; nested values are text even alone."""
    found = sorted(kinds.keys() - {"missing"})
    together = len(found) < 2 or found == ["number", "whole"]
    return [] if together and "nested values" not in found else found


def _meaning(kinds: Counter[str], rows: int) -> ColumnType:
    """Return the one type that holds all values: of whole numbers and others, numbers; else text."""
    found = kinds.keys() - {"missing"}
    kind: Kind = "text"
    if found <= {"whole", "number"}:
        kind = "whole" if found == {"whole"} else "number"
    elif found == {"truth"}:
        kind = "truth"
    return ColumnType(kind, missing=kinds.total() < rows or kinds["missing"] > 0)


def _cells(rows: list[dict[str, Any]], name: str, kind: Kind) -> pa.Array:
    import pyarrow as pa

    values = [row.get(name) for row in rows]
    if kind == "text":
        values = [text(value) for value in values]
    elif kind == "number":
        values = [None if value is None else float(value) for value in values]
    return pa.array(values, ARROW[kind])


def text(value: Any) -> str | None:
    """Return a value as text: what is neither text nor missing as its JSON."""
    return value if isinstance(value, str | None) else json.dumps(value, ensure_ascii=False, default=str)
