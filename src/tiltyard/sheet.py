"""Bodies that are tables: CSV, or Parquet where pyarrow is installed; a row is an instance."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection
from typing import Any

from tiltyard import csv_cells
from tiltyard.dialect import Dialect
from tiltyard.encoder import Encoder
from tiltyard.errors import RequestError

CSV = "text/csv"
PARQUET = ("application/vnd.apache.parquet", "application/x-parquet", "application/parquet")
KINDS = (CSV, *PARQUET)
Cells = dict[str, list[Any]]
TEXT = re.compile("string|dictionary")
PLAIN = re.compile(  # types of Parquet columns, as pyarrow spells them
    r"(dictionary<values=)?(u?int|float|double|halffloat|bool|null|(large_)?string|date|time|decimal)[^<{]*?"
)
ROOM = 1 << 25  # bytes of cells


def instances(encoder: Encoder, body: bytes, kind: str) -> list[Any]:
    """Give the instances of a table."""
    if not all(column.in_cells for column in encoder.columns.values()):
        text = f"expected JSON: an instance of {encoder.task} is more than a row of a table"
        raise RequestError("unsupported_type", text, status=415)
    cells = _csv(encoder, body) if kind == CSV else _parquet(encoder, body)
    return encoder.joined({name: column.read(cells[name]) for name, column in encoder.columns.items()})


def _csv(encoder: Encoder, body: bytes) -> Cells:
    """Read text with a header, as training reads a file of such."""
    numbers = {name: not column.spelled for name, column in encoder.columns.items()}
    try:
        return csv_cells.read(body.decode("utf-8-sig"), numbers, encoder.max_instances, Dialect(**encoder.read))
    except (UnicodeDecodeError, csv.Error) as error:
        raise RequestError("malformed_csv", f"expected CSV in UTF-8: {error}") from None


def _insist(encoder: Encoder, names: Collection[str]) -> None:
    for name in encoder.columns:
        if name not in names:
            raise RequestError("missing_field", f"expected the columns {', '.join(encoder.columns)}", name)


def insist_on_parquet() -> None:
    """Import what reads Parquet, or refuse it where that is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401 - who forks wants it imported before
    except ImportError:
        text = "expected JSON or CSV: Parquet needs pyarrow where the service runs"
        raise RequestError("unsupported_type", text, status=415) from None


def _parquet(encoder: Encoder, body: bytes) -> Cells:
    """Read the columns that are wanted, as far as what they unpack to is bounded: a small file may hold much."""
    insist_on_parquet()
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(body))
        if (rows := file.metadata.num_rows) > encoder.max_instances:
            text = f"expected at most {encoder.max_instances} instances; received {rows}"
            raise RequestError("too_many", text, "instances", status=413)
        _insist(encoder, {*file.schema_arrow.names})
        _insist_on_flat(encoder, file.schema_arrow)
        _insist_on_bounds(encoder, file.metadata)
        return _cells(encoder, file)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RequestError("malformed_parquet", f"expected a whole Parquet file: {error}") from None


def _insist_on_flat(encoder: Encoder, schema: Any) -> None:
    """Refuse lists, records and bytes: one row of a list may be millions of values."""
    for name in encoder.columns:
        kind = schema.field(name).type
        if not PLAIN.fullmatch(str(kind)):
            raise RequestError("wrong_type", f"expected numbers, texts or dates; received {kind}", name)


def _insist_on_bounds(encoder: Encoder, metadata: Any) -> None:
    """Refuse a footer that contradicts itself, and packing without bounds: Snappy makes at most 21 bytes of one."""
    groups = [metadata.row_group(i) for i in range(min(metadata.num_row_groups, encoder.max_instances))]
    if sum(group.num_rows for group in groups) != metadata.num_rows:
        raise RequestError("malformed_parquet", "expected groups that hold the rows of the file")
    for group in groups:
        for column in map(group.column, range(group.num_columns)):
            if column.path_in_schema in encoder.columns and column.num_values != group.num_rows:
                raise RequestError("malformed_parquet", "expected a value a row", column.path_in_schema)
            if column.compression not in ("SNAPPY", "UNCOMPRESSED"):
                text = f"expected Parquet packed by Snappy, or not at all; received {column.compression}"
                raise RequestError("unsupported_type", text, status=415)


def _cells(encoder: Encoder, file: Any) -> Cells:
    """Read row by row where there are texts: one that is kept once may stand in every row."""
    names, room = [*encoder.columns], ROOM
    texts = any(TEXT.search(str(file.schema_arrow.field(name).type)) for name in names)
    found: Cells = {name: [] for name in names}
    for batch in file.iter_batches(1 if texts else encoder.max_instances, columns=names, use_threads=False):
        room -= batch.nbytes
        if room < 0:
            raise RequestError("body_too_large", f"expected at most {ROOM:,} bytes of cells", status=413)
        for name in names:
            found[name] += batch.column(name).to_pylist()
    return found
