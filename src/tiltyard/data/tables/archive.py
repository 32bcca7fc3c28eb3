"""Decompression of the one table in a gzip, xz, bzip2 or zip file, as a stream that stops at decompression bombs."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tiltyard.errors import DataError

COMPRESSIONS = (".gz", ".xz", ".bz2", ".zip")
NOTES = re.compile(
    r"(?i)(readme|licen[cs]e|copying|notice|changelog)\b[^.]*(\.(txt|rst))?|.*\.(pdf|md|html?|docx?|names)"
)
WORKBOOKS = (".xlsx", ".xlsm")  # zip files that are one table
MAGIC_BYTES = {b"\x1f\x8b": ".gz", b"\xfd7zXZ\0": ".xz", b"BZh": ".bz2", b"PK\x03\x04": ".zip", b"PK\x05\x06": ".zip"}
MAX_BYTES = 1 << 36  # decompressed: 64 GiB
MAX_RATIO = 250  # decompressed to compressed bytes: tables reach 5 to 50, a bomb of zeros 1000
ALWAYS_ALLOWED_BYTES = 1 << 26  # below this size any ratio is harmless
ARCHIVE_ERRORS = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


def suffixes(name: str) -> tuple[str, str]:
    """Return the suffix of the table and that of its compression, in lower case: '.csv', '.gz'; either may be ''."""
    path = PurePosixPath(name.lower())
    if path.suffix not in COMPRESSIONS:
        return path.suffix, ""
    return path.with_suffix("").suffix, path.suffix


@contextlib.contextmanager
def open_stream(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Return the table's suffix and a stream of its bytes; the first bytes tell the compression, not the name."""
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(path.open("rb"))
            start = file.read(6)
            file.seek(0)
            compression = next((name for first, name in MAGIC_BYTES.items() if start.startswith(first)), "")
            if compression == ".zip" and suffixes(path.name)[0] in WORKBOOKS:
                compression = ""
            suffix, stream = _decompressed(path, file, compression, stack)
            limited = io.BufferedReader(_Limited(stream, path)) if compression else file
            yield suffix, limited
    except ARCHIVE_ERRORS as error:
        raise DataError(f"{path.name}: expected a whole file; it is damaged or cut short: {error}") from None
    except OSError as error:
        raise DataError(f"{path.name}: cannot be read: {error.strerror or error}") from None


def _decompressed(path: Path, file: IO[bytes], compression: str, stack: contextlib.ExitStack) -> tuple[str, IO[bytes]]:
    if compression == ".zip":
        archive = stack.enter_context(zipfile.ZipFile(file))
        member = _member(path, archive)
        try:
            return suffixes(member.filename)[0], stack.enter_context(archive.open(member))
        except RuntimeError as error:  # encrypted, or compressed by a method that Python does not support
            raise DataError(f"{path.name}: expected an ordinary zip file: {error}") from None
    openers: dict[str, Callable[[IO[bytes]], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    stream = stack.enter_context(openers[compression](file)) if compression else file
    return suffixes(path.name)[0], stream


def _member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the one file in a zip, hidden files apart."""
    members = members_of(path, archive)
    for member in members:
        if suffixes(member.filename)[1]:
            raise DataError(f"{path.name}: expected a table; received an archive in an archive: {member.filename}")
    tables = [member for member in members if not NOTES.fullmatch(PurePosixPath(member.filename).name)]
    members = tables if len(tables) == 1 else members
    if len(members) != 1:
        names = ", ".join(member.filename for member in members[:5]) or "none"
        hint = "unpack it, and name one of the files: source.path, or tiltyard init --data"
        raise DataError(f"{path.name}: expected one file inside; received {len(members)}: {names}", hint=hint)
    return members[0]


def members_of(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the files in a zip without hidden ones; raise for a link, or a path that leads out of the archive."""
    members = [member for member in archive.infolist() if not member.is_dir() and not is_hidden(member.filename)]
    for member in members:
        parts = PurePosixPath(member.filename.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in member.filename:
            raise DataError(f"{path.name}: expected a file inside the archive; received the path {member.filename}")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise DataError(f"{path.name}: expected a file; {member.filename} is a link")
    return members


def is_hidden(name: str) -> bool:
    """Return whether a file is hidden, or one of those that macOS adds."""
    return name.startswith("__MACOSX/") or any(
        part.startswith(".") and part != ".." for part in PurePosixPath(name).parts
    )


class _Limited(io.RawIOBase):
    """A stream that raises once a file decompresses to more than the limits allow."""

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
        if self.total > MAX_BYTES or self.total > max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * self.packed):
            raise DataError(
                f"{self.name}: expected a table; {self.packed} bytes unpack to more than {self.total}, like a zip bomb",
                hint="if you trust the file, unpack it, and set source.path to the result",
            )
        return len(content)
