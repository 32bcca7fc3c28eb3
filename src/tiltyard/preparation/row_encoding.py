"""Encode parsed rows in batches, each distinct value of a coded column once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tiltyard.arrays import Array, Cells, Coded, ParsedRows, row_count
from tiltyard.modeling.inference.encoder import Encoder

BATCH_ROWS = 1 << 14  # one category may become a thousand features


def encode_batches(encoder: Encoder, rows: ParsedRows) -> Iterator[Array]:
    """Yield the same features as `Encoder.encode`, batch by batch, packed for storage."""
    columns = {name: _encoding(encoder, name, rows[name]) for name in encoder.columns}
    for start in range(0, row_count(rows), BATCH_ROWS):
        batch = slice(start, start + BATCH_ROWS)
        parts = [encode(batch) for encode in columns.values()]
        yield encoder.pack(parts[0] if encoder.bare else np.concatenate(parts, axis=-1))


def _encoding(encoder: Encoder, name: str, cells: Cells) -> Callable[[slice], Array]:
    """Return a function that encodes some rows of a column."""
    column, fitted = encoder.columns[name], encoder.fitted[name]
    if not isinstance(cells, Coded):
        return lambda batch: column.encode(cells[batch], fitted)
    features, places = column.encode(cells.distinct, fitted), cells.places
    return lambda batch: features.take(places[batch], axis=0)
