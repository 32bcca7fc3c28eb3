"""Parquet: typed columns, converted to the four types that all formats share."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, ClassVar, cast

from tiltyard.data.formats.base import Format, Layout, unique_names
from tiltyard.data.formats.jsonl import as_text
from tiltyard.data.tables import archive
from tiltyard.data.tables.column_types import ARROW, ColumnType, Kind

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROWS = 65_536  # of a batch


class Parquet(Format):
    """A Parquet file; a compressed one is decompressed to a temporary file, since readers need to seek."""

    suffixes: ClassVar = (".parquet", ".pq")

    def survey(self) -> Layout:
        """Read types from the file's schema, and find the columns with missing values."""
        self.refuse_dialect()
        with self._open() as file:
            fields = list(file.schema_arrow)
            names, repairs = unique_names([field.name for field in fields])
            if not file.metadata.num_rows or not names:
                raise self.error("expected rows; received none")
            kinds = [_kind(field.type) for field in fields]
            missing = _recorded_missing(file) or _counted_missing(file)
            as_text_names = [name for name, field in zip(names, fields, strict=True) if _is_read_as_text(field.type)]
            repairs += [f"{name} holds nested or binary values: read as text" for name in as_text_names]
            column_types = {
                n: ColumnType(kind, missing=count > 0) for n, kind, count in zip(names, kinds, missing, strict=True)
            }
            return Layout(column_types, file.metadata.num_rows, repairs)

    def batches(self, layout: Layout, names: list[str]) -> Iterator[pa.Table]:
        """Read the file a second time, by its layout."""
        import pyarrow as pa

        places = [list(layout.columns).index(name) for name in names]
        with self._open() as file:
            stored = [field.name for field in file.schema_arrow]
            findable = len(set(stored)) == len(stored) and not any("." in name for name in stored)
            for batch in file.iter_batches(ROWS, columns=[stored[place] for place in places] if findable else None):
                cells = batch.columns if findable else [batch.columns[place] for place in places]
                columns = {n: _cast(c, layout.columns[n].kind) for n, c in zip(names, cells, strict=True)}
                yield pa.table(columns)

    @contextlib.contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        import pyarrow as pa
        from pyarrow import parquet as pq

        with archive.open_stream(self.path) as (_, stream), tempfile.TemporaryFile() as whole:
            try:
                yield pq.ParquetFile(_seekable(stream, whole))
            except pa.ArrowInvalid as error:
                raise self.error(f"expected Parquet: {error}") from None


def _recorded_missing(file: pq.ParquetFile) -> list[int]:
    """Return the number of missing values of each column from the file's statistics; empty if it has no complete ones.

    Columns of nested values have several statistics each.
    """
    from pyarrow import types

    metadata = file.metadata
    if any(types.is_nested(field.type) for field in file.schema_arrow):
        return []
    missing = [0] * metadata.num_columns
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for place in range(metadata.num_columns):
            statistics = group.column(place).statistics
            if statistics is None or not statistics.has_null_count:
                return []
            missing[place] += statistics.null_count
    return missing


def _counted_missing(file: pq.ParquetFile) -> list[int]:
    """Count the missing values of each column."""
    missing = [0] * len(file.schema_arrow)
    for batch in file.iter_batches(ROWS):
        missing = [count + cells.null_count for count, cells in zip(missing, batch.columns, strict=True)]
    return missing


def _seekable(stream: IO[bytes], whole: IO[bytes]) -> IO[bytes]:
    if stream.seekable():
        return stream
    shutil.copyfileobj(stream, whole)
    whole.seek(0)
    return whole


def _value_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values, also of a column that is stored with a dictionary."""
    from pyarrow import types

    return kind.value_type if types.is_dictionary(kind) else kind


def _kind(stored: pa.DataType) -> Kind:
    from pyarrow import types

    value_type = _value_type(stored)
    if types.is_boolean(value_type):
        return "boolean"
    if types.is_integer(value_type) and not types.is_uint64(value_type):
        return "integer"
    numbers = (types.is_integer, types.is_floating, types.is_decimal, types.is_null)
    return "number" if any(is_one(value_type) for is_one in numbers) else "text"


def _is_read_as_text(stored: pa.DataType) -> bool:
    from pyarrow import types

    value_type = _value_type(stored)
    return any(
        is_one(value_type) for is_one in (types.is_nested, types.is_binary, types.is_large_binary, types.is_duration)
    )


def _cast(cells: pa.Array, kind: Kind) -> pa.Array:
    """Cast cells to a type; write times as text without fractions that are zero."""
    import pyarrow.compute as pc
    from pyarrow import types

    stored = cells.type
    if _is_read_as_text(stored):
        return _text(cells.to_pylist())
    cells = cells.cast(ARROW[kind], safe=False)
    if types.is_timestamp(_value_type(stored)) or types.is_time(_value_type(stored)):
        return pc.replace_substring_regex(cells, r"\.0+(Z?)$", r"\1")
    return cells


def _text(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    return cast("pa.Array", pa.array([as_text(value) for value in values], "string"))
