"""Atomic files and folders: every write goes to a temporary name, is synced to disk, then renamed. Also file locks.

A temporary file is locked by its owner. The kernel frees the lock if the process is killed, so the next process that
needs a temporary file of the same kind recognises the remains and removes them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

Json = dict[str, Any]  # a JSON object of a file or a message
TEMPORARY = re.compile(r"\..+-[0-9a-f]{32}(\.[^.]+)?")  # names of temporary files and folders


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path` with the same suffix; it replaces `path` when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(path.parent, f".{path.stem}-", path.suffix, Path.touch) as temporary:
        yield temporary
        _put(temporary, path, Path.replace)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder; it replaces `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(path.parent, f".{path.name}-", "", Path.mkdir) as temporary:
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)
        sync_folder(path.parent)


@contextlib.contextmanager
def temporary_folder(name: str) -> Iterator[Path]:
    """Yield an empty private folder in the system's folder of temporary files; it is removed when the block ends."""
    with _temporary(Path(tempfile.gettempdir()), f"{name}-", "", lambda path: path.mkdir(0o700)) as folder:
        yield folder


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock during the block; other processes wait. The lock of a process that died is free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if is_at(path, file):
                yield
                return


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Hold a lock during the block if it is free, without waiting; yield whether it was free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def is_at(path: Path, file: IO[Any]) -> bool:
    """Return whether an open file is the one at a path: a lock on a removed file excludes no other process."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def write_private_file(path: Path, content: bytes, *, replace: bool) -> None:
    """Write a file atomically that only its owner can ever read.

    Raise FileExistsError if it exists and `replace` is false, also if it was created meanwhile.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _temporary(
        path.parent, f".{path.stem}-", path.suffix, lambda temporary_path: temporary_path.touch(0o600)
    ) as temporary:
        temporary.write_bytes(content)
        _put(temporary, path, Path.replace if replace else os.link)


def _put(temporary: Path, path: Path, move: Callable[[Path, Path], object]) -> None:
    """Sync a written file to disk and move it to its path, so that it survives a power cut."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    move(temporary, path)
    sync_folder(path.parent)


@contextlib.contextmanager
def _temporary(parent: Path, prefix: str, suffix: str, create: Callable[[Path], None]) -> Iterator[Path]:
    """Create and lock a temporary file or folder, and remove it at the end; first remove those of killed processes."""
    _remove_unlocked(parent, re.compile(f"{re.escape(prefix)}[0-9a-f]{{32}}{re.escape(suffix)}"))
    path, lock = _locked(lambda: parent / f"{prefix}{uuid.uuid4().hex}{suffix}", create)
    try:
        yield path
    except OSError as error:
        if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT):
            error.filename = str(path)  # errors of a write name no file
        raise
    finally:
        _remove(path)
        os.close(lock)


def _locked(new_path: Callable[[], Path], create: Callable[[Path], None]) -> tuple[Path, int]:
    """Create a temporary file and lock it; retry if another process removed it before it was locked."""
    while True:
        path = new_path()
        create(path)
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDONLY)
            with contextlib.suppress(OSError):  # a file system without locks: no other process can lock and remove it
                fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return path, lock
            os.close(lock)


def remove_abandoned(folder: Path) -> None:
    """Remove temporary files that killed processes left in a folder; those of running processes stay."""
    if folder.is_dir():
        _remove_unlocked(folder, TEMPORARY)


def _remove_unlocked(parent: Path, names: re.Pattern[str]) -> None:
    """Remove temporary files of this user with matching names, unless a running process has locked them."""
    for path in [path for path in parent.iterdir() if names.fullmatch(path.name)]:
        with contextlib.suppress(OSError):  # locked, removed, or of another user
            lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock).st_uid == os.geteuid():
                    _remove(path)
            finally:
                os.close(lock)


def remove_folder(path: Path) -> None:
    """Remove a folder at once: under its name it is whole or gone, also after a kill."""
    aside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    path.rename(aside)
    shutil.rmtree(aside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Sync a folder to disk, so that a rename inside it survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes to a file atomically."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write text in UTF-8 to a file atomically."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON to a file atomically; raise ValueError for NaN and infinities, which JSON lacks."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file for reading; refuse other kinds, since opening a FIFO would wait for a writer forever."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "expected a regular file; received a FIFO, socket or device", str(path))


def read_bytes(path: Path) -> bytes:
    """Read a regular file."""
    with open_regular(path) as file:
        return file.read()


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return parse_json(read_bytes(path))


def parse_json(content: bytes) -> Any:
    """Read JSON in UTF-8; refuse an object with a repeated key, since other programs may read its other value."""
    return json.loads(content.decode(), object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"expected each key once; received {repeated[:80]!r} again")
    return unique


def file_digest(path: Path) -> bytes:
    """Return the SHA-256 of a file, without reading it into memory as a whole."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").digest()


def sha256(*paths: Path) -> str:
    """Return the SHA-256 of files, or of all files below folders: their relative paths and contents."""
    digest = hashlib.sha256()
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in inside:
            digest.update(str(file.relative_to(path.parent)).encode() + b"\0")
            digest.update(file_digest(file))
    return digest.hexdigest()
