"""Mean and standard deviation of values that come in parts, with the bits of NumPy's for all of them at once.

NumPy adds halves of an array, and halves of these. The parts are written to a temporary file, of which pieces are added
in that order; memory holds one piece.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from typing import IO

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.columns.base import Scale, usable_scale

PIECE = 1 << 21  # values in memory
BLOCK = 8  # NumPy halves arrays at a multiple of this
FLOAT = np.dtype(np.float64)


def scale_of_parts(parts: Iterable[Array]) -> Scale:
    """Return what `scale` returns for all parts together."""
    first: list[Array] = []
    with tempfile.TemporaryFile() as file:
        count = 0
        for part in parts:
            first = [part] if not count else []
            count += part.size
            np.ascontiguousarray(part, dtype=FLOAT).tofile(file)
        if first:  # a single part
            return usable_scale(float(first[0].mean()), float(first[0].std()))
        mean = np.float64(_sum(file, 0, count, lambda values: values) / count)
        variance = _sum(file, 0, count, lambda values: np.square(values - mean)) / count
        return usable_scale(float(mean), float(np.sqrt(variance)))


def _sum(file: IO[bytes], start: int, count: int, change: Callable[[Array], Array]) -> np.float64:
    """Return the sum of some changed values, added as NumPy does."""
    if count <= PIECE:
        file.seek(start * FLOAT.itemsize)
        total: np.float64 = change(np.fromfile(file, FLOAT, count)).sum()
        return total
    half = count // 2
    half -= half % BLOCK
    return _sum(file, start, half, change) + _sum(file, start + half, count - half, change)
