"""Read files of a folder or a zip by their names, without unpacking; refuse links that lead out, and zip bombs."""

from __future__ import annotations

import contextlib
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from tiltyard.data.tables import archive
from tiltyard.errors import DataError

MAX_FILE_BYTES = 1 << 26  # 64 MiB
ZIP_ERRORS = (*archive.ARCHIVE_ERRORS, NotImplementedError, RuntimeError, UnicodeDecodeError)


class ImageFiles(ABC):
    """The files below a folder, or in a zip."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Return the size of each file in bytes, by its path with '/' between folders, sorted."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""

    def refuse(self, name: str, size: int) -> None:
        """Raise for a file that is too large."""
        text = f"expected files of at most {MAX_FILE_BYTES >> 20} MiB; {name} has {size / (1 << 20):,.0f}"
        raise DataError(f"{self.path.name}: {text}", hint="make it smaller, or remove it")


@contextlib.contextmanager
def open_files(path: Path) -> Iterator[ImageFiles]:
    """Open a folder or a zip; return its files."""
    if path.is_dir():
        yield _Folder(path)
        return
    try:
        with zipfile.ZipFile(path) as file:
            yield _Zip(path, file)
    except ZIP_ERRORS as error:
        raise DataError(f"{path.name}: expected a folder or a whole zip file: {error}") from None


class _Folder(ImageFiles):
    """A local folder; links may lead only to files inside it."""

    def sizes(self) -> dict[str, int]:
        root, sizes = self.path.resolve(), {}
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            if archive.is_hidden(name):
                continue
            if path.is_symlink() and not (path.resolve().is_relative_to(root) and path.is_file()):
                text = f"{name} is a link to {'a folder' if path.is_dir() else 'nowhere or elsewhere'}"
                raise DataError(f"{self.path.name}: expected files inside the folder; {text}", hint="put files there")
            if path.is_file():
                sizes[name] = path.stat().st_size
        return sizes

    def read(self, name: str) -> bytes:
        path = self.path / name
        if (size := path.stat().st_size) > MAX_FILE_BYTES:
            self.refuse(name, size)
        return path.read_bytes()


class _Zip(ImageFiles):
    """A zip file; `zipfile` ensures that entries unpack to no more than their declared size."""

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        super().__init__(path)
        self.file = file

    def sizes(self) -> dict[str, int]:
        members = archive.members_of(self.path, self.file)
        names = sorted(member.filename for member in members)
        if twice := next((name for name, after in pairwise(names) if name == after), None):
            raise DataError(f"{self.path.name}: expected each file once; received {twice} twice")
        packed, total = self.path.stat().st_size, sum(member.file_size for member in members)
        if total > archive.MAX_BYTES or total > max(archive.ALWAYS_ALLOWED_BYTES, archive.MAX_RATIO * packed):
            text = f"{packed:,} bytes unpack to {total:,}, like a zip bomb"
            raise DataError(f"{self.path.name}: expected files; {text}", hint="if it is no bomb, unpack it to a folder")
        return {name: self.file.getinfo(name).file_size for name in names}

    def read(self, name: str) -> bytes:
        member = self.file.getinfo(name)
        if member.flag_bits & 1:
            text = f"expected files that are not encrypted; {name} requires a password"
            raise DataError(f"{self.path.name}: {text}", hint="unpack it to a folder, and name that")
        if member.file_size > MAX_FILE_BYTES:
            self.refuse(name, member.file_size)
        return self.file.read(name)
