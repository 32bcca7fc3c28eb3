"""Encode parsed rows in batches, each distinct value of a coded column once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tiltyard.arrays import Array, Cells, Coded, ParsedRows, decoded, row_count
from tiltyard.modeling.inference.encoder import Encoder

BATCH_ROWS = 1 << 16  # rows of one batch at most
BATCH_VALUES = 1 << 22  # features of one batch at most, since one category may become a thousand
BARE_ROWS = 1 << 14  # images or texts of one batch
BLOCK_ROWS = 1 << 10  # rows that are put together at a time, so that they stay in the processor's cache


def encode_batches(encoder: Encoder, rows: ParsedRows) -> Iterator[Array]:
    """Yield the same features as `Encoder.encode`, batch by batch, packed for storage."""
    columns = {name: _encoding(encoder, name, rows[name]) for name in encoder.columns}
    batch_rows = _batch_rows(encoder, rows)
    for start in range(0, row_count(rows), batch_rows):
        parts = [encode(slice(start, start + batch_rows)) for encode in columns.values()]
        if encoder.bare:
            yield encoder.pack(decoded(parts[0]))
        else:
            yield from _joined(parts)


def _batch_rows(encoder: Encoder, rows: ParsedRows) -> int:
    if encoder.bare:
        return BARE_ROWS
    spans = encoder.spans.items()
    width: int = sum(span.stop - span.start for name, span in spans if not isinstance(rows[name], Coded))
    return min(max(BATCH_VALUES // max(width, 1), BLOCK_ROWS), BATCH_ROWS)


def _encoding(encoder: Encoder, name: str, cells: Cells) -> Callable[[slice], Cells]:
    """Return a function that encodes some rows of a column."""
    column, fitted = encoder.columns[name], encoder.fitted[name]
    if not isinstance(cells, Coded):
        return lambda batch: column.encode(cells[batch], fitted)
    features = Coded(column.encode(cells.distinct, fitted), cells.places)
    return lambda batch: features[batch]


def _joined(parts: list[Cells]) -> Iterator[Array]:
    """Yield the features of all columns side by side, block by block."""
    for start in range(0, len(parts[0]), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        yield np.concatenate([decoded(part[block]) for part in parts], axis=-1)
