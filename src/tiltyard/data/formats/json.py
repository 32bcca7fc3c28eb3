"""JSON documents: a list of objects, an object that holds one, columns as lists or objects, or JSON lines."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import msgspec

from tiltyard.data.formats.jsonl import Jsonl
from tiltyard.data.tables import archive
from tiltyard.data.tables.text_encoding import Utf8Stream
from tiltyard.errors import DataError

MAX_BYTES = 1 << 29  # a document is decoded at once


class Json(Jsonl):
    """One JSON document."""

    suffixes: ClassVar[tuple[str, ...]] = (".json",)

    def _objects(self, repairs: list[str]) -> Iterator[dict[str, Any]]:
        """Yield the rows; add the repairs to `repairs` after the last one."""
        with archive.open_stream(self.path) as (_, stream):
            decoding = Utf8Stream(stream, self.path.name)
            content = io.BufferedReader(decoding).read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise self.error(
                f"expected at most {MAX_BYTES >> 20} MiB", "save it as JSON lines, one object on each line"
            )
        try:
            document = msgspec.json.decode(content)
        except msgspec.MsgspecError as error:
            yield from self._lines(repairs, error)
            return
        rows = self._rows(document)
        if not all(isinstance(row, dict) for row in rows):
            row, bad = next((i, row) for i, row in enumerate(rows, start=1) if not isinstance(row, dict))
            raise self.error(f"row {row}: expected an object; received {type(bad).__name__}")
        yield from rows
        repairs += decoding.repairs

    def _lines(self, repairs: list[str], error: msgspec.MsgspecError) -> Iterator[dict[str, Any]]:
        """Yield the objects of JSON lines; if the first line is none, the file is a damaged document."""
        lines = super()._objects(repairs)
        try:
            first = next(lines, None)
        except DataError:
            raise self.error(f"expected JSON: {error}") from None
        if first is not None:
            yield first
        yield from lines

    def _rows(self, document: Any) -> list[Any]:
        """Return the rows of a document."""
        if isinstance(document, list):
            return document
        if not isinstance(document, dict):
            raise self.error(f"expected a list of objects; received {type(document).__name__}")
        if {"columns", "data"} <= document.keys() and all(isinstance(row, list) for row in document["data"]):
            return [dict(zip(map(str, document["columns"]), row, strict=False)) for row in document["data"]]
        tables = {key: value for key, value in document.items() if _is_table(value)}
        if len(tables) == 1:
            return next(iter(tables.values()))
        if tables:
            raise self.error(
                f"expected one list of objects; received {', '.join(tables)}", "save one of them as a file"
            )
        if rows := _of_columns(document):
            return rows
        expected = "a list of objects, an object that holds one, or one list of each column"
        received = ", ".join(f"{key}: {type(value).__name__}" for key, value in [*document.items()][:5])
        raise self.error(f"expected {expected}; received an object with {received or 'no keys'}")


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _of_columns(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of columns, which are lists of one length or objects with the same keys; else none."""
    columns = [*document.values()]
    if all(isinstance(column, list) for column in columns) and len({*map(len, columns)}) == 1:
        return [dict(zip(document, row, strict=True)) for row in zip(*columns, strict=True)]
    if all(isinstance(column, dict) for column in columns) and len({tuple(column) for column in columns}) == 1:
        return [{name: column[key] for name, column in document.items()} for key in columns[0]]
    return []
