"""Source `file`: one file with a table, in the project, at a URL, at an fsspec address, or by name in a mirror."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field

from tiltyard.data import table_reader
from tiltyard.data.formats.base import advice, formats_by_suffix, readable_suffixes
from tiltyard.data.sources._location import FileLocation
from tiltyard.data.sources.base import Source
from tiltyard.data.tables import archive
from tiltyard.data.tables.dialect import Dialect
from tiltyard.errors import SourceError
from tiltyard.workspace import Workspace


class File(FileLocation, Source):
    """A CSV, TSV, JSON-lines or Parquet file, plain or compressed."""

    kind: Literal["file"]
    read: Dialect = Field(default_factory=Dialect, description="Its dialect, where it should not be guessed.")

    @property
    def dialect(self) -> Dialect:
        """The dialect that the task sets."""
        return self.read

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write `table` with the suffixes of the file, its bytes unchanged."""
        target = folder / f"table{self._suffixes()}"
        self.copy_to(target, workspace)
        self.verify(target)
        table_reader.suffix(target)

    def _suffixes(self) -> str:
        name = self.path.split("::", maxsplit=1)[0]
        table, compression = archive.suffixes(urlsplit(name).path if "://" in name else name)
        if table not in formats_by_suffix() and compression != ".zip":
            expected = f"expected a name that ends in one of {readable_suffixes()}"
            raise SourceError(f"source.path: {expected}; received {self.safe_path}", hint=advice(table or compression))
        return (table if table in formats_by_suffix() else "") + compression
