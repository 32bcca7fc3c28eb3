"""Content hashes of rows: 64 bits of BLAKE2b, the same for identical rows, whatever the width of their text columns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from tiltyard.arrays import Array, Cells, Coded, decoded, row_count

BLOCK_ROWS = 1 << 12  # rows whose bytes are laid out at a time, so that they stay in the processor's cache


def row_keys(rows: Mapping[str, Cells], seed: int) -> Array:
    """Return a hash of each row's features; identical rows have the same one."""
    columns = [_sized(rows[name]) for name in sorted(rows)]
    start = np.frombuffer(seed.to_bytes(8, "little", signed=True), dtype=np.uint8)
    blocks = range(0, row_count(rows), BLOCK_ROWS)
    digests = b"".join([_digests(start, columns, slice(block, block + BLOCK_ROWS)) for block in blocks])
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def _sized(cells: Cells) -> tuple[Cells, Cells | None]:
    """Return a column with the length of each text in bytes, or None if all rows have the full width.

    An empty text counts as one character.
    """
    values = cells.distinct if isinstance(cells, Coded) else cells
    if values.dtype.kind not in "SU":
        return cells, None
    lengths = np.maximum(np.strings.str_len(values), 1) * (4 if values.dtype.kind == "U" else 1)
    if (lengths == values.itemsize).all():
        return cells, None
    return cells, Coded(lengths, cells.places) if isinstance(cells, Coded) else lengths


def _digests(start: Array, columns: list[tuple[Cells, Cells | None]], block: slice) -> bytes:
    """Return the hashes of some rows: of the start, then of all columns without padding."""
    content, ends = _contents(
        start,
        [decoded(cells[block]) for cells, _ in columns],
        [None if sizes is None else decoded(sizes[block]) for _, sizes in columns],
    )
    blake2b = hashlib.blake2b
    return b"".join([blake2b(content[a:b], digest_size=8).digest() for a, b in pairwise(ends)])


def _contents(start: Array, columns: list[Array], sizes: list[Array | None]) -> tuple[bytes, list[int]]:
    """Return the bytes of all rows one after another, and where each begins and the last ends."""
    rows = len(columns[0])
    raw = [np.broadcast_to(start, (rows, len(start)))]
    raw += [np.ascontiguousarray(values).reshape(rows, -1).view(np.uint8) for values in columns]
    unit = _unit([part.shape[1] for part in raw], columns)
    whole, borders = np.hstack(raw).view(f"u{unit}"), np.cumsum([part.shape[1] for part in raw]) // unit
    lengths = np.full(rows, whole.shape[1] * unit)
    kept = None if all(size is None for size in sizes) else np.ones(whole.shape, dtype=bool)
    for size, first, last in zip(sizes, borders, borders[1:], strict=False):
        if size is not None and kept is not None:
            kept[:, first:last] = np.arange(last - first) < (size // unit)[:, None]
            lengths += size - (last - first) * unit
    content = whole if kept is None else whole[kept]
    return content.tobytes(), [0, *np.cumsum(lengths).tolist()]


def _unit(widths: list[int], columns: list[Array]) -> int:
    """Return how many bytes can be moved at a time: four, as many as a character has, or one."""
    return 1 if any(width % 4 for width in widths) or any(values.dtype.kind == "S" for values in columns) else 4
