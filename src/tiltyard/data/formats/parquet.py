"""Parquet: columns that know their types; all are brought to the four that a table of text can have."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, ClassVar, cast

from tiltyard.data.formats.base import Format, Layout, named
from tiltyard.data.formats.jsonl import text
from tiltyard.data.tables import archive
from tiltyard.data.tables.column_types import ARROW, ColumnType, Kind

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROWS = 65_536  # of a batch


class Parquet(Format):
    """A Parquet file; if it is packed once more, it is unpacked to a nameless file, since it is read from its end."""

    suffixes: ClassVar = (".parquet", ".pq")

    def survey(self) -> Layout:
        """Read types from the file's own notes, and count what is missing."""
        self.plain()
        with self._opened() as file:
            fields = list(file.schema_arrow)
            names, told = named([field.name for field in fields])
            if not file.metadata.num_rows or not names:
                raise self.error("expected rows; received none")
            kinds = [_kind(field.type) for field in fields]
            missing = [0] * len(fields)
            for batch in file.iter_batches(ROWS):
                missing = [count + cells.null_count for count, cells in zip(missing, batch.columns, strict=True)]
            odd = [name for name, field in zip(names, fields, strict=True) if _odd(field.type)]
            told += [f"{name} holds nested or binary values: read as text" for name in odd]
            meanings = {
                n: ColumnType(kind, missing=count > 0) for n, kind, count in zip(names, kinds, missing, strict=True)
            }
            return Layout(meanings, file.metadata.num_rows, told)

    def batches(self, layout: Layout, names: list[str]) -> Iterator[pa.Table]:
        """Read again, by the layout."""
        import pyarrow as pa

        places = [list(layout.columns).index(name) for name in names]
        with self._opened() as file:
            stored = [field.name for field in file.schema_arrow]
            findable = len(set(stored)) == len(stored) and not any("." in name for name in stored)
            for batch in file.iter_batches(ROWS, columns=[stored[place] for place in places] if findable else None):
                cells = batch.columns if findable else [batch.columns[place] for place in places]
                columns = {n: _typed(c, layout.columns[n].kind) for n, c in zip(names, cells, strict=True)}
                yield pa.table(columns)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        import pyarrow as pa
        from pyarrow import parquet as pq

        with archive.opened(self.path) as (_, stream), tempfile.TemporaryFile() as whole:
            try:
                yield pq.ParquetFile(_seekable(stream, whole))
            except pa.ArrowInvalid as error:
                raise self.error(f"expected Parquet: {error}") from None


def _seekable(stream: IO[bytes], whole: IO[bytes]) -> IO[bytes]:
    if stream.seekable():
        return stream
    shutil.copyfileobj(stream, whole)
    whole.seek(0)
    return whole


def _bare(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a column that is stored as a dictionary."""
    from pyarrow import types

    return kind.value_type if types.is_dictionary(kind) else kind


def _kind(stored: pa.DataType) -> Kind:
    from pyarrow import types

    bare = _bare(stored)
    if types.is_boolean(bare):
        return "truth"
    if types.is_integer(bare) and not types.is_uint64(bare):
        return "whole"
    numbers = (types.is_integer, types.is_floating, types.is_decimal, types.is_null)
    return "number" if any(is_one(bare) for is_one in numbers) else "text"


def _odd(stored: pa.DataType) -> bool:
    from pyarrow import types

    bare = _bare(stored)
    return any(is_one(bare) for is_one in (types.is_nested, types.is_binary, types.is_large_binary, types.is_duration))


def _typed(cells: pa.Array, kind: Kind) -> pa.Array:
    """Bring cells to a type; times become text without a fraction of zeros."""
    import pyarrow.compute as pc
    from pyarrow import types

    stored = cells.type
    if _odd(stored):
        return _text(cells.to_pylist())
    cells = cells.cast(ARROW[kind], safe=False)
    if types.is_timestamp(_bare(stored)) or types.is_time(_bare(stored)):
        return pc.replace_substring_regex(cells, r"\.0+(Z?)$", r"\1")
    return cells


def _text(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    return cast("pa.Array", pa.array([text(value) for value in values], "string"))
