"""Spill parsed rows to disk during preparation: appended in chunks, read by column or by row."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array, Rows, row_count


class ColumnSpill:
    """A folder with one file for each column, which holds one array for each chunk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, Path] = {}
        self.types: dict[str, np.dtype[np.generic]] = {}  # common type of all chunks: text is as wide as the longest
        self.ends = [0]  # rows before each chunk, and after the last

    def append(self, rows: Rows) -> None:
        """Append a chunk of rows."""
        for name, values in rows.items():
            path = self.files.setdefault(name, self.folder / str(len(self.files)))
            self.types[name] = np.promote_types(self.types.get(name, values.dtype), values.dtype)
            with path.open("ab") as file:
                np.save(file, values, allow_pickle=False)
        self.ends.append(self.ends[-1] + row_count(rows))

    def column(self, name: str, index: Array) -> Iterator[Array]:
        """Yield some rows of one column, chunk by chunk; `index` is sorted."""
        for rows in self.rows(index, [name]):
            yield rows[name].astype(self.types[name], copy=False)

    def rows(self, index: Array, names: list[str] | None = None) -> Iterator[Rows]:
        """Yield some rows, chunk by chunk; `index` is sorted."""
        borders = np.searchsorted(index, self.ends)
        with contextlib.ExitStack() as stack:
            files = {name: stack.enter_context(self.files[name].open("rb")) for name in names or self.files}
            for before, first, last in zip(self.ends, borders, borders[1:], strict=False):
                places = index[first:last] - before
                rows = {name: np.load(file, allow_pickle=False) for name, file in files.items()}
                if len(places):
                    yield {name: values[places] for name, values in rows.items()}


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
