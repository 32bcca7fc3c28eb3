"""One file with a table: in the project, at a URL, at any address that fsspec knows, or by name from a mirror."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field

from tiltyard.data import table_reader
from tiltyard.data.formats.base import kinds, known
from tiltyard.data.sources._location import FileLocation
from tiltyard.data.sources.base import Source
from tiltyard.data.tables import archive
from tiltyard.data.tables.dialect import Dialect
from tiltyard.errors import SourceError
from tiltyard.workspace import Workspace


class File(FileLocation, Source):
    """A CSV, TSV, JSON-lines or Parquet file, plain or packed."""

    kind: Literal["file"]
    read: Dialect = Field(default_factory=Dialect, description="How it is laid out, where it cannot say so.")

    @property
    def dialect(self) -> Dialect:
        """As the task says."""
        return self.read

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write `table` with the suffixes that the file has, its bytes unchanged."""
        target = folder / f"table{self._suffixes()}"
        self.bring(target, workspace)
        self.insist(target)
        table_reader.suffix(target)

    def _suffixes(self) -> str:
        name = self.path.split("::", maxsplit=1)[0]
        table, packing = archive.suffixes(urlsplit(name).path if "://" in name else name)
        if table not in known() and packing != ".zip":
            raise SourceError(f"source.path: expected a name that ends in one of {kinds()}; received {self.shown}")
        return (table if table in known() else "") + packing
