"""Table bodies: CSV, and Parquet if pyarrow is installed; each row is an instance."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection
from typing import Any

from tiltyard.data.tables.dialect import Dialect
from tiltyard.errors import RequestError
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.serving.requests import csv_cells

CSV = "text/csv"
MAGIC = b"PAR1"  # at the beginning and the end of a Parquet file
PARQUET = ("application/vnd.apache.parquet", "application/x-parquet", "application/parquet")
MEDIA_TYPES = (CSV, *PARQUET)
Cells = dict[str, list[Any]]
TEXT_TYPE = re.compile("string|dictionary")
FLAT_TYPE = re.compile(  # type names of pyarrow that are accepted
    r"(dictionary<values=)?(u?int|float|double|halffloat|bool|null|(large_)?string|date|time|decimal)[^<{]*?"
)
MAX_CELL_BYTES = 1 << 25  # of unpacked cells
MAX_ROW_GROUPS = 16  # in a Parquet file: writers put up to a million rows into one group


def rows_from_table(encoder: Encoder, body: bytes, media_type: str) -> list[Any]:
    """Return the instances of a table body."""
    if not all(column.in_cells for column in encoder.columns.values()):
        text = f"expected JSON: an instance of {encoder.task} is more than a row of a table"
        raise RequestError("unsupported_type", text, status=415)
    cells = _csv(encoder, body) if media_type == CSV else _parquet(encoder, body)
    return encoder.joined({name: column.read(cells[name]) for name, column in encoder.columns.items()})


def _csv(encoder: Encoder, body: bytes) -> Cells:
    """Read CSV with a header, by the same rules as training files."""
    numbers = {name: not column.parsed_as_text for name, column in encoder.columns.items()}
    try:
        return csv_cells.read(body.decode("utf-8-sig"), numbers, encoder.max_instances, Dialect(**encoder.read))
    except (UnicodeDecodeError, csv.Error) as error:
        raise RequestError("malformed_csv", f"expected CSV in UTF-8: {error}") from None


def _require_columns(encoder: Encoder, names: Collection[str]) -> None:
    for name in encoder.columns:
        if name not in names:
            raise RequestError("missing_field", f"expected the columns {', '.join(encoder.columns)}", name)


def require_pyarrow() -> None:
    """Import pyarrow; raise RequestError if it is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401 - a process that forks needs it imported before
    except ImportError:
        text = "expected JSON or CSV: Parquet needs pyarrow, which the service does not have"
        raise RequestError("unsupported_type", text, status=415) from None


def _parquet(encoder: Encoder, body: bytes) -> Cells:
    """Read the feature columns within limits on the unpacked size, since a small file may unpack to a large one."""
    require_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(body))
        if (rows := file.metadata.num_rows) > encoder.max_instances:
            text = f"expected at most {encoder.max_instances} instances; received {rows}"
            raise RequestError("too_many", text, "instances", status=413)
        _require_columns(encoder, {*file.schema_arrow.names})
        _require_flat_types(encoder, file.schema_arrow)
        _check_row_groups(encoder, file.metadata)
        _check_chunk_offsets(file.metadata, len(body))
        return _cells(encoder, file)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RequestError("malformed_parquet", f"expected a whole Parquet file: {error}") from None


def _require_flat_types(encoder: Encoder, schema: Any) -> None:
    """Refuse lists, structs and bytes: a single list may have millions of values."""
    for name in encoder.columns:
        arrow_type = schema.field(name).type
        if not FLAT_TYPE.fullmatch(str(arrow_type)):
            raise RequestError("wrong_type", f"expected numbers, texts or dates; received {arrow_type}", name)


def _check_row_groups(encoder: Encoder, metadata: Any) -> None:
    """Refuse inconsistent footers, and compression other than Snappy, which expands a byte to at most 21 bytes."""
    if (count := metadata.num_row_groups) > MAX_ROW_GROUPS:
        text = f"expected at most {MAX_ROW_GROUPS} row groups; received {count}: write all rows as one group"
        raise RequestError("too_many", text, status=413)
    groups = [metadata.row_group(i) for i in range(count)]
    if sum(group.num_rows for group in groups) != metadata.num_rows:
        raise RequestError("malformed_parquet", "expected row groups with as many rows as the file")
    for group in groups:
        for column in map(group.column, range(group.num_columns)):
            if column.path_in_schema in encoder.columns and column.num_values != group.num_rows:
                raise RequestError("malformed_parquet", "expected one value per row", column.path_in_schema)
            if column.compression not in ("SNAPPY", "UNCOMPRESSED"):
                text = f"expected Parquet with Snappy compression or none; received {column.compression}"
                raise RequestError("unsupported_type", text, status=415)


def _check_chunk_offsets(metadata: Any, size: int) -> None:
    """Refuse column chunks that overlap, lie outside of the data or unpack to more than the limit.

    With overlapping chunks, a small file could reuse the same large page in each of them.
    """
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    columns = [group.column(i) for group in groups for i in range(group.num_columns)]
    if sum(column.total_uncompressed_size for column in columns) > MAX_CELL_BYTES:
        raise RequestError("body_too_large", f"expected at most {MAX_CELL_BYTES:,} bytes of cells", status=413)
    end = len(MAGIC)
    for start, length in sorted((_chunk_start(column), column.total_compressed_size) for column in columns):
        if length < 0 or start < end:
            raise RequestError("malformed_parquet", "expected column chunks that do not overlap")
        end = start + length
    if end > size - metadata.serialized_size - 2 * len(MAGIC):  # the footer is followed by its length
        raise RequestError("malformed_parquet", "expected column chunks before the footer")


def _chunk_start(column: Any) -> int:
    """Return the offset of a column chunk's first page, as the parser computes it."""
    dictionary, data = column.dictionary_page_offset, column.data_page_offset
    return int(dictionary if dictionary is not None and 0 < dictionary < data else data)


def _cells(encoder: Encoder, file: Any) -> Cells:
    """Read cells; row by row if there are texts, since a dictionary may repeat a long text in every row."""
    names, remaining_bytes = [*encoder.columns], MAX_CELL_BYTES
    has_texts = any(TEXT_TYPE.search(str(file.schema_arrow.field(name).type)) for name in names)
    cells: Cells = {name: [] for name in names}
    for batch in file.iter_batches(1 if has_texts else encoder.max_instances, columns=names, use_threads=False):
        remaining_bytes -= batch.nbytes
        if remaining_bytes < 0:
            raise RequestError("body_too_large", f"expected at most {MAX_CELL_BYTES:,} bytes of cells", status=413)
        for name in names:
            cells[name] += batch.column(name).to_pylist()
    return cells
