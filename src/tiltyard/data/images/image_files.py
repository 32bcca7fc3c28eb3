"""Image files of a folder or a zip, read by name: no links that lead out, no zip bombs; a reproducible zip writer."""

from __future__ import annotations

import contextlib
import zipfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from tiltyard import files
from tiltyard.data.tables import archive
from tiltyard.errors import DataError

MAX_FILE_BYTES = 1 << 26  # 64 MiB
ZIP_ERRORS = (*archive.ARCHIVE_ERRORS, NotImplementedError, RuntimeError, UnicodeDecodeError)

FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # a zip file stores times; a fixed one keeps the bytes the same
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")  # that the image modality reads


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


def write(path: Path, images: Iterable[tuple[str, bytes]], notes: Sequence[str] = ()) -> None:
    """Write images under names such as CLASS/NAME.png, in the given order; validation later reports the notes."""
    with files.atomic_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in images:
            archive.writestr(zipfile.ZipInfo(name, FIXED_TIME), content)
        archive.comment = "\n".join(notes).encode()[:65_535]
        archive.close()  # before the file is synced and renamed


def notes(archive: zipfile.ZipFile) -> list[str]:
    """Return the notes that `write` stored."""
    return archive.comment.decode("utf-8", "replace").splitlines()


def sample_per_class(labels: Sequence[str], rows: int | None) -> list[int]:
    """Return the sorted positions of a balanced sample: `rows` in all, evenly spaced within each class; or all."""
    places: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    turns = sorted((turn, where[turn]) for where in places.values() for turn in range(len(where)))
    shares = Counter(labels[place] for _, place in turns[:rows])
    return sorted(
        where[i * len(where) // n] for label, n in shares.items() for where in [places[label]] for i in range(n)
    )
