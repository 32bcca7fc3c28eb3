"""NPZ files of arrays larger than memory: written in pieces, read in slices.

The .npy files inside are not compressed, because compressed ones can only be read from the beginning.
"""

from __future__ import annotations

import contextlib
import itertools
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard.arrays import Array

MAX_IN_MEMORY_BYTES = 1 << 28  # larger parts are read in slices
MAX_SAMPLED_ROWS = 50_000  # rows for statistics; more rows are sampled, always the same ones
BLOCK_ROWS = 1000  # consecutive rows of a sample

WriteArray = Callable[[str, int, Iterable[Array]], None]  # name, rows, pieces


@contextlib.contextmanager
def npz_writer(path: Path) -> Iterator[WriteArray]:
    """Yield a function that writes an array in pieces. The file has no times, so equal arrays give equal bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:

        def write(name: str, rows: int, pieces: Iterable[Array]) -> None:
            pieces = iter(pieces)
            first = next(pieces)
            header = {
                "descr": np.lib.format.dtype_to_descr(first.dtype),
                "fortran_order": False,
                "shape": (rows, *first.shape[1:]),
            }
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, header)
                for piece in itertools.chain([first], pieces):
                    file.write(raw_bytes(piece))

        yield write


def raw_bytes(array: Array) -> memoryview:
    """Return the bytes of an array, without a copy if they are in order."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


class ArrayFile:
    """An array in such a file; slices are read from disk on access."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self._start, self.shape, self.dtype = _locate(path, f"{name}.npy")

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Array:
        """Read a slice of rows."""
        start, stop, _ = rows.indices(len(self))
        width, count = int(np.prod(self.shape[1:])), max(stop - start, 0)
        offset = self._start + start * width * self.dtype.itemsize
        return np.fromfile(self.path, self.dtype, count * width, offset=offset).reshape(count, *self.shape[1:])

    def take(self, index: Array) -> Array:
        """Read rows at any indices; consecutive ones are read together."""
        order = np.argsort(index, kind="stable")
        rows = np.empty((len(index), *self.shape[1:]), dtype=self.dtype)
        for run in np.split(order, np.flatnonzero(np.diff(index[order]) != 1) + 1):
            first = int(index[run[0]])
            rows[run] = self[first : first + len(run)]
        return rows

    @property
    def nbytes(self) -> int:
        """The size of the array in memory."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


Features = Array | ArrayFile


def read_part(path: Path) -> tuple[Array, Array]:
    """Read features and truth of train.npz or validation.npz."""
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["features"], arrays["truth"]


def read_truth(path: Path) -> Array:
    """Read only the truth."""
    with np.load(path, allow_pickle=False) as arrays:
        truth: Array = arrays["truth"]
        return truth


def open_part(path: Path) -> tuple[Features, Array]:
    """Return features and truth, mapped into memory to share them; large features are read in slices."""
    if path.stat().st_size <= MAX_IN_MEMORY_BYTES:
        return _mapped(path, "features"), _mapped(path, "truth")
    with np.load(path, allow_pickle=False) as arrays:
        return ArrayFile(path, "features"), arrays["truth"]


def open_features(path: Path) -> Features:
    """Return features without a truth, mapped into memory; large ones are read in slices."""
    return _mapped(path, "features") if path.stat().st_size <= MAX_IN_MEMORY_BYTES else ArrayFile(path, "features")


def _mapped(path: Path, name: str) -> Array:
    """Map an array of the file into memory; read it if that is not possible."""
    try:
        start, shape, dtype = _locate(path, f"{name}.npy")
        return np.asarray(np.memmap(path, dtype, "r", start, shape))
    except ValueError:  # it is compressed or empty, or has a header of another version
        with np.load(path, allow_pickle=False) as arrays:
            array: Array = arrays[name]
            return array


def sample_blocks(rows: int) -> list[slice]:
    """Return slices of evenly spaced blocks, or of all rows if there are few."""
    if rows <= MAX_SAMPLED_ROWS:
        return [slice(rows)]
    starts = np.linspace(0, rows - BLOCK_ROWS, MAX_SAMPLED_ROWS // BLOCK_ROWS).astype(int).tolist()
    return [slice(start, start + BLOCK_ROWS) for start in starts]


def _locate(path: Path, name: str) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
    """Return the offset, shape and type of an array in the file."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{path.name}: {name} is compressed")
    with path.open("rb") as file:
        file.seek(info.header_offset)
        lengths = struct.unpack("<26xHH", file.read(30))  # of the name and the extra field before the content
        file.seek(sum(lengths), 1)
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        return file.tell(), shape, dtype
