"""A file that a task asks for: in the project, at a URL, at any address that fsspec knows, or by name from a mirror."""

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

MIRROR = "TILTYARD_MIRROR"  # in the environment: a folder of files that tasks ask for by name


class FileLocation(Settings):
    """Where a file is looked for, and what its bytes must be."""

    path: str = Field(min_length=1, description="A file of the project or elsewhere, a URL, or an fsspec address.")
    url: str | None = Field(None, description="Where it can be downloaded, if `path` is a name that is nowhere here.")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="What its bytes must hash to.")

    @field_validator("url")
    @classmethod
    def _http(cls, url: str | None) -> str | None:
        if url is not None and not is_http(url):
            raise ValueError("expected http:// or https://")
        return url

    @property
    def shown(self) -> str:
        """The path without what may be a secret."""
        return download.shown(self.path) if "://" in self.path else self.path

    def bring(self, target: Path, workspace: Workspace) -> None:
        """Copy the file to `target`."""
        if is_http(self.path):
            self._download(self.path, target, workspace)
        elif "://" in self.path:
            import fsspec

            with fsspec.open(self.path, "rb") as file, target.open("wb") as copy:
                shutil.copyfileobj(file, copy)
        else:
            self._find(target, workspace)

    def insist(self, target: Path) -> None:
        """Refuse a file with other bytes than were asked for."""
        if self.sha256 and not download.matches(target, self.sha256):
            received = files.file_digest(target).hex()
            raise SourceError(f"{self.shown}: expected SHA-256 {self.sha256}; received {received}")

    def places(self, workspace: Workspace) -> list[Path]:
        """Return where on this machine it may lie: in the project, among downloads, in the mirror."""
        path = workspace.root / Path(self.path).expanduser()
        if "://" in self.path:
            return []
        return [path] if Path(self.path).name != self.path else [path, *self._elsewhere(workspace)]

    def _find(self, target: Path, workspace: Workspace) -> None:
        """Look here; then download."""
        places = self.places(workspace)
        if places[0].is_dir():
            raise SourceError(f"source.path: expected a file; received the folder {self.path}")
        found = next((place for place in places if self._is_whole(place, workspace)), None)
        if found:
            shutil.copyfile(found, target)
        elif self.url:
            self._download(self.url, target, workspace)
        else:
            self.refuse(workspace)

    def _is_whole(self, place: Path, workspace: Workspace) -> bool:
        """Return whether a file is there; what was downloaded once may have rotted since, and can be had again."""
        rots = place.parent == workspace.downloads and self.sha256
        return place.is_file() and not (rots and not download.matches(place, str(self.sha256)))

    def refuse(self, workspace: Workspace) -> None:
        """Raise an error that it is nowhere, with each way to supply it."""
        first, *others = self.places(workspace)
        looked = ", ".join(str(place.parent) for place in (first, *others))
        mirror = "" if MIRROR in os.environ else f"; {MIRROR} is not set"
        raise SourceError(
            f"no file {self.path}: looked in {looked}{mirror}",
            hint=f"place it at {first}; or put it into a folder and set {MIRROR} to that; or give source.url",
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


def is_http(address: str) -> bool:
    """Return whether an address is one of the web."""
    return address.startswith(("http://", "https://"))
