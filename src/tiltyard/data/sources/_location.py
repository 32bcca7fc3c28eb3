"""Location of a file that a task needs: in the project, at a URL, at an fsspec address, or by name in a mirror."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pydantic import Field, field_validator

from tiltyard import files
from tiltyard.data.sources import _download as download
from tiltyard.errors import SourceError
from tiltyard.settings import Settings
from tiltyard.workspace import Workspace

MIRROR = "TILTYARD_MIRROR"  # environment variable: a folder with files that tasks refer to by name


class FileLocation(Settings):
    """Where to look for a file, and its expected checksum."""

    path: str = Field(min_length=1, description="A path, a URL, or an fsspec address.")
    url: str | None = Field(None, description="Where to download it, if `path` is a name that is not found locally.")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="Its expected checksum.")

    @field_validator("url")
    @classmethod
    def _http(cls, url: str | None) -> str | None:
        if url is not None and not is_http(url):
            raise ValueError("expected http:// or https://")
        return url

    @property
    def safe_path(self) -> str:
        """The path without possible secrets."""
        return download.without_secrets(self.path) if "://" in self.path else self.path

    def copy_to(self, target: Path, workspace: Workspace) -> None:
        """Copy the file to `target`."""
        if is_http(self.path):
            self._download(self.path, target, workspace)
        elif "://" in self.path:
            import fsspec

            with fsspec.open(self.path, "rb") as file, target.open("wb") as copy:
                shutil.copyfileobj(file, copy)
        else:
            self._find(target, workspace)

    def verify(self, target: Path) -> None:
        """Raise if the file does not have the expected checksum."""
        if self.sha256 and not download.has_checksum(target, self.sha256):
            received = files.file_digest(target).hex()
            raise SourceError(f"{self.safe_path}: expected SHA-256 {self.sha256}; received {received}")

    def local_paths(self, workspace: Workspace) -> list[Path]:
        """Return the local paths to look at: in the project, among downloads, in the mirror."""
        path = workspace.root / Path(self.path).expanduser()
        if "://" in self.path:
            return []
        return [path] if Path(self.path).name != self.path else [path, *self._paths_outside(workspace)]

    def _find(self, target: Path, workspace: Workspace) -> None:
        """Copy the file from a local path, else download it."""
        local_paths = self.local_paths(workspace)
        if local_paths[0].is_dir():
            raise SourceError(f"source.path: expected a file; received the folder {self.path}")
        local_path = next((path for path in local_paths if self._is_usable(path, workspace)), None)
        if local_path:
            shutil.copyfile(local_path, target)
        elif self.url:
            self._download(self.url, target, workspace)
        else:
            self.raise_not_found(workspace)

    def _is_usable(self, path: Path, workspace: Workspace) -> bool:
        """Return whether a file is there; check a download again, as it may have been damaged and can be replaced."""
        may_be_damaged = path.parent == workspace.downloads and self.sha256
        return path.is_file() and not (may_be_damaged and not download.has_checksum(path, str(self.sha256)))

    def raise_not_found(self, workspace: Workspace) -> None:
        """Raise an error that the file was not found, with each way to supply it."""
        first, *alternatives = self.local_paths(workspace)
        looked = ", ".join(str(path.parent) for path in (first, *alternatives))
        mirror = "" if MIRROR in os.environ else f"; {MIRROR} is not set"
        raise SourceError(
            f"no file {self.path}: looked in {looked}{mirror}",
            hint=f"place it at {first}; or put it into a folder and set {MIRROR} to that; or set source.url",
        )

    def _paths_outside(self, workspace: Workspace) -> list[Path]:
        """Return the paths outside the project for a file that is named without a folder."""
        mirror = os.environ.get(MIRROR)
        local_paths = (
            [download.stored_path(self.url or self.path, workspace.downloads, self.sha256)] if self.sha256 else []
        )
        return [*local_paths, *([Path(mirror).expanduser() / self.path] if mirror else [])]

    def _download(self, url: str, target: Path, workspace: Workspace) -> None:
        """Download the file; do not keep a copy without a checksum, as the file may change on the server."""
        stored = download.download(url, workspace.downloads, self.sha256)
        shutil.copyfile(stored, target)
        if not self.sha256:
            stored.unlink()


def is_http(address: str) -> bool:
    """Return whether an address is an HTTP URL."""
    return address.startswith(("http://", "https://"))
