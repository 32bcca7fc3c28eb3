"""The files in a folder or a zip by their names: nothing is unpacked; what leads out of it or is a bomb is refused."""

from __future__ import annotations

import contextlib
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from tiltyard.data.tables import archive
from tiltyard.errors import DataError

LARGEST = 1 << 26  # bytes of one file: 64 MiB
BROKEN = (*archive.BROKEN, NotImplementedError, RuntimeError, UnicodeDecodeError)  # a zip may be odd in many ways


class ImageFiles(ABC):
    """Files below one place."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file by its name, which has '/' between folders, sorted."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""

    def refuse(self, name: str, size: int) -> None:
        """Refuse a file that is too large to be one of many."""
        text = f"expected files of at most {LARGEST >> 20} MiB; {name} has {size / (1 << 20):,.0f}"
        raise DataError(f"{self.path.name}: {text}", hint="make it smaller, or take it out")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[ImageFiles]:
    """Return the files of a folder, or of a zip."""
    if path.is_dir():
        yield _Folder(path)
        return
    try:
        with zipfile.ZipFile(path) as file:
            yield _Zip(path, file)
    except BROKEN as error:
        raise DataError(f"{path.name}: expected a folder or a whole zip file: {error}") from None


class _Folder(ImageFiles):
    """A folder on this machine; links may lead to files inside it."""

    def sizes(self) -> dict[str, int]:
        root, found = self.path.resolve(), {}
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            if archive.hidden(name):
                continue
            if path.is_symlink() and not (path.resolve().is_relative_to(root) and path.is_file()):
                text = f"{name} is a link to {'a folder' if path.is_dir() else 'nowhere or elsewhere'}"
                raise DataError(f"{self.path.name}: expected files inside the folder; {text}", hint="put files there")
            if path.is_file():
                found[name] = path.stat().st_size
        return found

    def read(self, name: str) -> bytes:
        path = self.path / name
        if (size := path.stat().st_size) > LARGEST:
            self.refuse(name, size)
        return path.read_bytes()


class _Zip(ImageFiles):
    """A zip file; its entries unpack to no more than they declare, which `zipfile` sees to."""

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        super().__init__(path)
        self.file = file

    def sizes(self) -> dict[str, int]:
        members = archive.members_of(self.path, self.file)
        names = sorted(member.filename for member in members)
        if twice := next((name for name, after in pairwise(names) if name == after), None):
            raise DataError(f"{self.path.name}: expected each file once; received {twice} twice")
        packed, total = self.path.stat().st_size, sum(member.file_size for member in members)
        if total > archive.LARGEST or total > max(archive.ALLOWANCE, archive.RATIO * packed):
            text = f"{packed:,} bytes unpack to {total:,}, like a zip bomb"
            raise DataError(f"{self.path.name}: expected files; {text}", hint="if it is no bomb, unpack it to a folder")
        return {name: self.file.getinfo(name).file_size for name in names}

    def read(self, name: str) -> bytes:
        member = self.file.getinfo(name)
        if member.flag_bits & 1:
            text = f"expected files that are not encrypted; {name} wants a password"
            raise DataError(f"{self.path.name}: {text}", hint="unpack it to a folder, and name that")
        if member.file_size > LARGEST:
            self.refuse(name, member.file_size)
        return self.file.read(name)
