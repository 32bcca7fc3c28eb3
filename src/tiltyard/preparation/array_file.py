"""Arrays in an .npz file, written piece by piece and read piece by piece, so that none need fit into memory.

Such a file is a zip of .npy files. They are not compressed: a compressed one could only be read from its beginning.
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

LARGE = 1 << 28  # bytes of a part that are still read into memory
LARGEST = 50_000  # rows of a part that are looked at; of more, as many are drawn by chance, always the same ones
BLOCK = 1000  # rows read together

Write = Callable[[str, int, Iterable[Array]], None]  # name, rows, pieces


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Write]:
    """Write a file; numpy's zip holds no time, nor does this, so the same arrays give the same bytes."""
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
                    file.write(piece.tobytes())

        yield write


class ArrayFile:
    """One array of such a file, of which slices are read when they are asked for."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self._start, self.shape, self.dtype = _found(path, f"{name}.npy")

    def __len__(self) -> int:
        """Rows."""
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Array:
        """Read some rows."""
        start, stop, _ = rows.indices(len(self))
        width, count = int(np.prod(self.shape[1:])), max(stop - start, 0)
        place = self._start + start * width * self.dtype.itemsize
        return np.fromfile(self.path, self.dtype, count * width, offset=place).reshape(count, *self.shape[1:])

    def take(self, index: Array) -> Array:
        """Read rows at any places; those that are neighbours are read together."""
        order = np.argsort(index, kind="stable")
        taken = np.empty((len(index), *self.shape[1:]), dtype=self.dtype)
        for run in np.split(order, np.flatnonzero(np.diff(index[order]) != 1) + 1):
            first = int(index[run[0]])
            taken[run] = self[first : first + len(run)]
        return taken

    @property
    def nbytes(self) -> int:
        """How much memory all of it would take."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


Features = Array | ArrayFile


def read_part(path: Path) -> tuple[Array, Array]:
    """Read encoded features and truth of train.npz or validation.npz."""
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["features"], arrays["truth"]


def read_truth(path: Path) -> Array:
    """Read the truth alone."""
    with np.load(path, allow_pickle=False) as arrays:
        truth: Array = arrays["truth"]
        return truth


def open_part(path: Path) -> tuple[Features, Array]:
    """Return the same, but leave features that are large where they are, to be read in slices."""
    if path.stat().st_size <= LARGE:
        return read_part(path)
    with np.load(path, allow_pickle=False) as arrays:
        return ArrayFile(path, "features"), arrays["truth"]


def blocks(rows: int) -> list[slice]:
    """Cut blocks from all over the rows, if there are more than are looked at."""
    if rows <= LARGEST:
        return [slice(rows)]
    starts = np.linspace(0, rows - BLOCK, LARGEST // BLOCK).astype(int).tolist()
    return [slice(start, start + BLOCK) for start in starts]


def _found(path: Path, name: str) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
    """Find an array: the place of its first byte, its shape and its type."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{path.name}: {name} is compressed")
    with path.open("rb") as file:
        file.seek(info.header_offset)
        lengths = struct.unpack("<26xHH", file.read(30))  # of the name and of what else stands before the content
        file.seek(sum(lengths), 1)
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        return file.tell(), shape, dtype
