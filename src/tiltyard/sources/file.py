"""One file with a table: in the project, at a URL, at any address that fsspec knows, or by name from a mirror."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from tiltyard import archive, download, files, reading
from tiltyard.dialect import Dialect
from tiltyard.errors import SourceError
from tiltyard.format import kinds, known
from tiltyard.source import Source
from tiltyard.workspace import Workspace

MIRROR = "TILTYARD_MIRROR"  # in the environment: a folder of files that tasks ask for by name


class File(Source):
    """A CSV, TSV, JSON-lines or Parquet file, plain or packed."""

    kind: Literal["file"]
    path: str = Field(min_length=1, description="A file of the project or elsewhere, a URL, or an fsspec address.")
    url: str | None = Field(None, description="Where it can be downloaded, if `path` is a name that is nowhere here.")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="What its bytes must hash to.")
    read: Dialect = Field(default_factory=Dialect, description="How it is laid out, where it cannot say so.")

    @field_validator("url")
    @classmethod
    def _http(cls, url: str | None) -> str | None:
        if url is not None and not _is_http(url):
            raise ValueError("expected http:// or https://")
        return url

    @property
    def dialect(self) -> Dialect:
        """As the task says."""
        return self.read

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write `table` with the suffixes that the file has, its bytes unchanged."""
        target = folder / f"table{self._suffixes()}"
        self._bring(target, workspace)
        if self.sha256 and not download.matches(target, self.sha256):
            received = files.file_digest(target).hex()
            raise SourceError(f"{self._shown}: expected SHA-256 {self.sha256}; received {received}")
        reading.suffix(target)

    @property
    def _shown(self) -> str:
        return download.shown(self.path) if "://" in self.path else self.path

    def _suffixes(self) -> str:
        name = self.path.split("::", maxsplit=1)[0]
        table, packing = archive.suffixes(urlsplit(name).path if "://" in name else name)
        if table not in known() and packing != ".zip":
            raise SourceError(f"source.path: expected a name that ends in one of {kinds()}; received {self._shown}")
        return (table if table in known() else "") + packing

    def _bring(self, target: Path, workspace: Workspace) -> None:
        if _is_http(self.path):
            self._download(self.path, target, workspace)
        elif "://" in self.path:
            import fsspec

            with fsspec.open(self.path, "rb") as file, target.open("wb") as copy:
                shutil.copyfileobj(file, copy)
        else:
            self._find(target, workspace)

    def _find(self, target: Path, workspace: Workspace) -> None:
        """Look in the project, among downloads, in the mirror; then download."""
        path = workspace.root / Path(self.path).expanduser()
        if path.is_dir():
            raise SourceError(f"source.path: expected a file; received the folder {self.path}")
        places = [path] if path.is_file() or Path(self.path).name != self.path else [path, *self._elsewhere(workspace)]
        found = next((place for place in places if place.is_file()), None)
        if found:
            shutil.copyfile(found, target)
        elif self.url:
            self._download(self.url, target, workspace)
        else:
            looked = ", ".join(str(place.parent) for place in places)
            mirror = "" if MIRROR in os.environ else f"; {MIRROR} is not set"
            raise SourceError(
                f"no file {self.path}: looked in {looked}{mirror}",
                hint=f"place it at {path}; or put it into a folder and set {MIRROR} to that; or give source.url",
            )

    def _elsewhere(self, workspace: Workspace) -> list[Path]:
        """Where a file that is asked for by name may lie."""
        mirror = os.environ.get(MIRROR)
        places = [download.place(self.url or self.path, workspace.downloads, self.sha256)] if self.sha256 else []
        return [*places, *([Path(mirror).expanduser() / self.path] if mirror else [])]

    def _download(self, url: str, target: Path, workspace: Workspace) -> None:
        """Download; what has no checksum may be another file tomorrow, and is not kept."""
        whole = download.download(url, workspace.downloads, self.sha256)
        shutil.copyfile(whole, target)
        if not self.sha256:
            whole.unlink()


def _is_http(address: str) -> bool:
    return address.startswith(("http://", "https://"))
