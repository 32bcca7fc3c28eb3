"""The one table inside a raw file, unpacked as a stream: nothing is written, and a bomb is stopped while it grows."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tiltyard.errors import DataError

PACKINGS = (".gz", ".xz", ".bz2", ".zip")
STARTS = {b"\x1f\x8b": ".gz", b"\xfd7zXZ\0": ".xz", b"BZh": ".bz2", b"PK\x03\x04": ".zip", b"PK\x05\x06": ".zip"}
LARGEST = 1 << 36  # bytes unpacked: 64 GiB
RATIO = 250  # bytes unpacked for one packed: tables reach 5 to 50, a bomb of zeros 1000
ALLOWANCE = 1 << 26  # up to here no ratio is too high: a small file does no harm
BROKEN = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


def suffixes(name: str) -> tuple[str, str]:
    """Return the suffix of the table and that of its packing, in small letters: '.csv' and '.gz'; either may be ''."""
    path = PurePosixPath(name.lower())
    if path.suffix not in PACKINGS:
        return path.suffix, ""
    return path.with_suffix("").suffix, path.suffix


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Return the table's suffix and its bytes; how it is packed is seen by the first bytes, whatever the name says."""
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(path.open("rb"))
            start = file.read(6)
            file.seek(0)
            packing = next((name for first, name in STARTS.items() if start.startswith(first)), "")
            suffix, stream = _unpacked(path, file, packing, stack)
            limited = io.BufferedReader(_Limited(stream, path)) if packing else file
            yield suffix, limited
    except BROKEN as error:
        raise DataError(f"{path.name}: expected a whole file; it is damaged or cut short: {error}") from None
    except OSError as error:
        raise DataError(f"{path.name}: cannot be read: {error.strerror or error}") from None


def _unpacked(path: Path, file: IO[bytes], packing: str, stack: contextlib.ExitStack) -> tuple[str, IO[bytes]]:
    if packing == ".zip":
        archive = stack.enter_context(zipfile.ZipFile(file))
        member = _member(path, archive)
        try:
            return suffixes(member.filename)[0], stack.enter_context(archive.open(member))
        except RuntimeError as error:  # locked by a password, or packed in a way that Python does not know
            raise DataError(f"{path.name}: expected an ordinary zip file: {error}") from None
    openers: dict[str, Callable[[IO[bytes]], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    stream = stack.enter_context(openers[packing](file)) if packing else file
    return suffixes(path.name)[0], stream


def _member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the one file in a zip; what only macOS or a listing puts there does not count."""
    members = members_of(path, archive)
    for member in members:
        if suffixes(member.filename)[1]:
            raise DataError(f"{path.name}: expected a table; received an archive in an archive: {member.filename}")
    if len(members) != 1:
        names = ", ".join(member.filename for member in members[:5]) or "none"
        hint = "unpack it, and name one of the files as source.path"
        raise DataError(f"{path.name}: expected one file inside; received {len(members)}: {names}", hint=hint)
    return members[0]


def members_of(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the files in a zip, those apart that do not count; refuse what leads out of it."""
    members = [member for member in archive.infolist() if not member.is_dir() and not hidden(member.filename)]
    for member in members:
        parts = PurePosixPath(member.filename.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in member.filename:
            raise DataError(f"{path.name}: expected a file inside the archive; received the path {member.filename}")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise DataError(f"{path.name}: expected a file; {member.filename} is a link to elsewhere")
    return members


def hidden(name: str) -> bool:
    """Return whether a file is one that systems put beside what was meant."""
    return name.startswith("__MACOSX/") or any(
        part.startswith(".") and part != ".." for part in PurePosixPath(name).parts
    )


class _Limited(io.RawIOBase):
    """A stream that refuses to go on when more comes out of a file than can be meant."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        super().__init__()
        self.stream, self.name = stream, path.name
        self.packed, self.total = path.stat().st_size, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self.stream.read(len(buffer))
        buffer[: len(content)] = content
        self.total += len(content)
        if self.total > LARGEST or self.total > max(ALLOWANCE, RATIO * self.packed):
            raise DataError(
                f"{self.name}: expected a table; {self.packed} bytes unpack to more than {self.total}, like a zip bomb",
                hint="if it is no bomb, unpack it, and name the file as source.path",
            )
        return len(content)
