"""Encode parsed rows in batches, on all cores; each distinct value of a coded column once for many rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from tiltyard.arrays import Array, Cells, Coded, ParsedRows, decoded, row_count
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.runtime import threads

BATCH_ROWS = 1 << 16  # rows of one batch at most
BATCH_VALUES = 1 << 22  # features of one batch at most, since one category may become a thousand
BARE_ROWS = 1 << 12  # images or texts of one batch
BLOCK_ROWS = 1 << 10  # rows that are joined at a time, so that they stay in the processor's cache


def encode_batches(encoder: Encoder, chunks: Iterable[ParsedRows]) -> Iterator[Array]:
    """Yield the same features as `Encoder.encode`, some rows at a time, packed for storage."""
    for blocks in threads.ordered(lambda batch: batch(), _batches(encoder, chunks)):
        yield from blocks


def _batches(encoder: Encoder, chunks: Iterable[ParsedRows]) -> Iterator[Callable[[], list[Array]]]:
    """Yield a function for each batch that encodes it."""
    max_rows = _batch_rows(encoder)
    for rows in chunks:
        size = math.ceil(row_count(rows) / math.ceil(row_count(rows) / max_rows))  # batches of equal size
        encodings = [_encoding(encoder, name, rows[name]) for name in encoder.columns]
        for start in range(0, row_count(rows), size):
            batch = slice(start, start + size)
            yield lambda encodings=encodings, batch=batch: _encode(encoder, [encode(batch) for encode in encodings])  # type: ignore[misc]


def _batch_rows(encoder: Encoder) -> int:
    if encoder.bare:
        return BARE_ROWS
    width = len(encoder.scaling()[0])
    return min(max(BATCH_VALUES // width, BLOCK_ROWS), BATCH_ROWS)


def _encoding(encoder: Encoder, name: str, cells: Cells) -> Callable[[slice], Cells]:
    """Return a function that encodes some rows of a column."""
    column, fitted = encoder.columns[name], encoder.fitted[name]
    if not isinstance(cells, Coded):
        return lambda batch: column.encode(cells[batch], fitted)
    features = Coded(column.encode(cells.distinct, fitted), cells.places)
    return lambda batch: features[batch]


def _encode(encoder: Encoder, parts: list[Cells]) -> list[Array]:
    """Put the features of all columns side by side, block by block."""
    if encoder.bare:
        return [encoder.pack(decoded(parts[0]))]
    blocks = [slice(start, start + BLOCK_ROWS) for start in range(0, len(parts[0]), BLOCK_ROWS)]
    return [np.concatenate([decoded(part[block]) for part in parts], axis=-1) for block in blocks]
