"""Parquet: typed columns, converted to the four types that all formats share; structs and short lists are unpacked."""

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


from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROWS = 65_536  # of a batch
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}  # in a second

MAX_DEPTH = 4  # of structs in structs
MAX_LENGTH = 1024  # of a list that is unpacked, such as an embedding
MAX_LEAVES = 10_000


class Parquet(Format):
    """A Parquet file; a compressed one is decompressed to a temporary file, since readers need to seek."""

    suffixes: ClassVar = (".parquet", ".pq")

    def survey(self) -> Layout:
        """Read types from the file's schema, and find the columns with missing values."""
        self.refuse_dialect()
        with self._open() as file:
            leaves = find_leaves(file)
            names, repairs = unique_names([leaf.name for leaf in leaves])
            if not file.metadata.num_rows or not names:
                raise self.error("expected rows; received none")
            missing = _recorded_missing(file) or _counted_missing(file, leaves)
            as_text_names = [name for name, leaf in zip(names, leaves, strict=True) if _is_read_as_text(leaf.type)]
            repairs += [f"{name} holds nested or binary values: read as text" for name in as_text_names]
            repairs += unpacked_columns(leaves)
            column_types = {
                name: ColumnType(_kind(leaf.type), missing=count > 0)
                for name, leaf, count in zip(names, leaves, missing, strict=True)
            }
            steps = [[leaf.place, *leaf.steps] for leaf in leaves]
            return Layout(column_types, file.metadata.num_rows, repairs, {"steps": steps})

    def batches(self, layout: Layout, names: list[str]) -> Iterator[pa.Table]:
        """Read the file a second time, by its layout."""
        import pyarrow as pa

        steps = [layout.format_state["steps"][list(layout.columns).index(name)] for name in names]
        with self._open() as file:
            stored = [field.name for field in file.schema_arrow]
            findable = len(set(stored)) == len(stored) and not any("." in name for name in stored)
            read = sorted({place for place, *_ in steps}) if findable else [*range(len(stored))]
            for batch in file.iter_batches(ROWS, columns=[stored[place] for place in read] if findable else None):
                columns = dict(zip(read, batch.columns, strict=True))
                cells = [leaf_cells(columns[place], inner) for place, *inner in steps]
                yield pa.table({n: _cast(c, layout.columns[n].kind) for n, c in zip(names, cells, strict=True)})

    @contextlib.contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        import pyarrow as pa
        from pyarrow import parquet as pq

        with archive.open_stream(self.path) as (_, stream), tempfile.TemporaryFile() as buffer:
            try:
                yield pq.ParquetFile(_seekable(stream, buffer))
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


def _counted_missing(file: pq.ParquetFile, leaves: list[Leaf]) -> list[int]:
    """Count the missing values of each column."""
    missing = [0] * len(leaves)
    for batch in file.iter_batches(ROWS):
        cells = [leaf_cells(batch.columns[leaf.place], leaf.steps) for leaf in leaves]
        missing = [count + column.null_count for count, column in zip(missing, cells, strict=True)]
    return missing


def _seekable(stream: IO[bytes], buffer: IO[bytes]) -> IO[bytes]:
    if stream.seekable():
        return stream
    shutil.copyfileobj(stream, buffer)
    buffer.seek(0)
    return buffer


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
    numbers = (types.is_integer, types.is_floating, types.is_decimal, types.is_null, types.is_duration)
    return "number" if any(is_one(value_type) for is_one in numbers) else "text"


def _is_read_as_text(stored: pa.DataType) -> bool:
    from pyarrow import types

    value_type = _value_type(stored)
    return any(is_one(value_type) for is_one in (types.is_nested, types.is_binary, types.is_large_binary))


def _cast(cells: pa.Array, kind: Kind) -> pa.Array:
    """Cast cells to a type; write times as text without fractions that are zero."""
    import pyarrow.compute as pc
    from pyarrow import types

    stored = cells.type
    if _is_read_as_text(stored):
        return _text(cells.to_pylist())
    if types.is_duration(stored):  # in seconds
        return pc.divide(cells.cast("int64").cast("float64"), UNITS[stored.unit])
    cells = cells.cast(ARROW[kind], safe=False)
    if types.is_timestamp(_value_type(stored)) or types.is_time(_value_type(stored)):
        return pc.replace_substring_regex(cells, r"\.0+(Z|[+-]\d{4}|)$", r"\1")
    return cells


def _text(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    return cast("pa.Array", pa.array([as_text(value) for value in values], "string"))


# of a batch


@dataclass(frozen=True)
class Leaf:
    """A column of the table: the place of its column in the file, and the fields or list places that lead to it."""

    name: str
    place: int
    steps: tuple[int, ...]
    type: pa.DataType


def find_leaves(file: pq.ParquetFile) -> list[Leaf]:
    """Return the columns that a file becomes; nested ones that are not unpacked stay as they are."""
    fields = [Leaf(field.name, place, (), field.type) for place, field in enumerate(file.schema_arrow)]
    unpacked = [leaf for field in fields for leaf in _unpacked(file, field, 0)]
    return unpacked if len(unpacked) <= max(MAX_LEAVES, len(fields)) else fields


def _unpacked(file: pq.ParquetFile, leaf: Leaf, depth: int) -> Iterator[Leaf]:
    from pyarrow import types

    if types.is_struct(leaf.type) and depth < MAX_DEPTH and leaf.type.num_fields:
        for place in range(leaf.type.num_fields):
            field = leaf.type.field(place)
            inner = Leaf(f"{leaf.name}_{field.name}", leaf.place, (*leaf.steps, place), field.type)
            yield from _unpacked(file, inner, depth + 1)
    elif length := _length(file, leaf):
        for place in range(length):
            yield Leaf(f"{leaf.name}_{place}", leaf.place, (*leaf.steps, place), leaf.type.value_type)
    else:
        yield leaf


def _length(file: pq.ParquetFile, leaf: Leaf) -> int:
    """Return the length of lists of numbers if it is the same in every row, else 0."""
    import pyarrow.compute as pc
    from pyarrow import types

    if not any(is_one(leaf.type) for is_one in (types.is_list, types.is_large_list, types.is_fixed_size_list)):
        return 0
    value = leaf.type.value_type
    if not (types.is_integer(value) or types.is_floating(value) or types.is_boolean(value)):
        return 0
    lengths: set[int] = set()
    for batch in file.iter_batches(ROWS):
        cell_lengths = pc.unique(pc.list_value_length(leaf_cells(batch.columns[leaf.place], leaf.steps)))
        lengths |= {length for length in cell_lengths.to_pylist() if length is not None}
        if len(lengths) > 1:
            return 0
    (length,) = lengths or {0}
    return length if length <= MAX_LENGTH else 0


def leaf_cells(cells: pa.Array, steps: Sequence[int]) -> pa.Array:
    """Return the cells of a leaf; those of a missing struct or list are missing."""
    import pyarrow.compute as pc
    from pyarrow import types

    for step in steps:
        cells = pc.struct_field(cells, [step]) if types.is_struct(cells.type) else pc.list_element(cells, step)
    return cells


def unpacked_columns(unpacked: list[Leaf]) -> list[str]:
    """Return which columns were unpacked, in sentences."""
    names: dict[int, list[str]] = {}
    for leaf in unpacked:
        if leaf.steps:
            names.setdefault(leaf.place, []).append(leaf.name)
    return [
        f"nested values unpacked: {', '.join(several[:4])}{', ...' if len(several) > 4 else ''}"
        for several in names.values()
    ]
