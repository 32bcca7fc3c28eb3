"""Spill parsed rows to disk during preparation: appended in chunks, read by column or by row."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array, Cells, Coded, ParsedRows, decoded, row_count


class ColumnSpill:
    """A folder with one file for each column, which holds one array for each chunk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, Path] = {}
        self.types: dict[str, np.dtype[np.generic]] = {}  # common type of all chunks: text is as wide as the longest
        self.coded: dict[str, list[bool]] = {}  # which chunks of a column hold codes
        self.ends = [0]  # rows before each chunk, and after the last

    def append(self, rows: ParsedRows) -> None:
        """Append a chunk of rows."""
        for name, cells in rows.items():
            path = self.files.setdefault(name, self.folder / str(len(self.files)))
            self.coded.setdefault(name, []).append(isinstance(cells, Coded))
            with path.open("ab") as file:
                values = cells.distinct if isinstance(cells, Coded) else cells
                np.save(file, values, allow_pickle=False)
                if isinstance(cells, Coded):
                    np.save(file, cells.places.astype(np.min_scalar_type(len(values))), allow_pickle=False)
            self.types[name] = np.promote_types(self.types.get(name, values.dtype), values.dtype)
        self.ends.append(self.ends[-1] + row_count(rows))

    def column(self, name: str, index: Array) -> Iterator[Array]:
        """Yield some rows of one column, chunk by chunk; `index` is sorted."""
        for cells in self.cells(name, index):
            yield decoded(cells).astype(self.types[name], copy=False)

    def cells(self, name: str, index: Array) -> Iterator[Cells]:
        """Yield the same rows in the form in which they were appended."""
        for rows in self.rows(index, [name]):
            yield rows[name]

    def rows(self, index: Array, names: list[str] | None = None) -> Iterator[ParsedRows]:
        """Yield some rows, chunk by chunk; `index` is sorted."""
        borders = np.searchsorted(index, self.ends)
        with contextlib.ExitStack() as stack:
            files = {name: stack.enter_context(self.files[name].open("rb")) for name in names or self.files}
            for chunk, (before, first, last) in enumerate(zip(self.ends, borders, borders[1:], strict=False)):
                places = index[first:last] - before
                rows = {name: _load(file, coded=self.coded[name][chunk]) for name, file in files.items()}
                if len(places):
                    yield {name: cells[places] for name, cells in rows.items()}


def _load(file: IO[bytes], *, coded: bool) -> Cells:
    """Read the next chunk of a column."""
    values: Array = np.load(file, allow_pickle=False)
    return Coded(values, np.load(file, allow_pickle=False)) if coded else values


@contextlib.contextmanager
def open_spill(folder: Path) -> Iterator[ColumnSpill]:
    """Yield an empty spill under a lock, and delete it at the end; remains of a killed process are deleted first."""
    with files.locked(folder.with_suffix(".lock")):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield ColumnSpill(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
