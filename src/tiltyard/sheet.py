"""Bodies that are tables: CSV, or Parquet where pyarrow is installed; a row is an instance."""

from __future__ import annotations

import csv
import io
from typing import Any

from tiltyard.encoder import Encoder
from tiltyard.errors import RequestError

CSV = "text/csv"
PARQUET = ("application/vnd.apache.parquet", "application/x-parquet", "application/parquet")
KINDS = (CSV, *PARQUET)
Cells = dict[str, list[Any]]


def instances(encoder: Encoder, body: bytes, kind: str) -> list[Any]:
    """Give the instances of a table."""
    if not all(column.in_cells for column in encoder.columns.values()):
        text = f"expected JSON: an instance of {encoder.task} is more than a row of a table"
        raise RequestError("unsupported_type", text, status=415)
    cells = _csv(encoder, body) if kind == CSV else _parquet(encoder, body)
    return encoder.joined({name: column.read(cells[name]) for name, column in encoder.columns.items()})


def _csv(encoder: Encoder, body: bytes) -> Cells:
    """Read commas, quotes and a header; stop behind the last row that may be answered."""
    try:
        rows = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        places = _places(encoder, next(rows, []))
        width, found = len(places), list[list[str]]()
        for row in rows:
            if not row:
                continue
            if len(row) != width:
                text = f"expected {width} cells; received {len(row)}"
                raise RequestError("wrong_shape", text, f"instances[{len(found)}]")
            found.append(row)
            if len(found) > encoder.max_instances:
                break  # `parse` refuses them all
    except (UnicodeDecodeError, csv.Error) as error:
        raise RequestError("malformed_csv", f"expected CSV in UTF-8: {error}") from None
    return {name: [row[places[name]] for row in found] for name in encoder.columns}


def _places(encoder: Encoder, header: list[str]) -> dict[str, int]:
    names = [name.strip() for name in header]
    if len({*names}) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestError("malformed_csv", f"expected each column once; received {twice!r} twice")
    _insist(encoder, names)
    return {name: place for place, name in enumerate(names)}


def _insist(encoder: Encoder, names: list[str]) -> None:
    for name in encoder.columns:
        if name not in names:
            raise RequestError("missing_field", f"expected the columns {', '.join(encoder.columns)}", name)


def _parquet(encoder: Encoder, body: bytes) -> Cells:
    """Read the columns that are wanted, if there are no more rows than may be answered: a small file may hold many."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        text = "expected JSON or CSV: Parquet needs pyarrow where the service runs"
        raise RequestError("unsupported_type", text, status=415) from None
    try:
        file = pq.ParquetFile(io.BytesIO(body))
        if (rows := file.metadata.num_rows) > encoder.max_instances:
            text = f"expected at most {encoder.max_instances} instances; received {rows}"
            raise RequestError("too_many", text, "instances", status=413)
        _insist(encoder, file.schema_arrow.names)
        found: Cells = file.read([*encoder.columns]).to_pydict()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RequestError("malformed_parquet", f"expected a whole Parquet file: {error}") from None
    return found
