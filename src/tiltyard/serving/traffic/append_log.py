"""Append-only log: each process appends lines to its own files; other processes read a file once it is closed.

Written lines survive a kill. The process locks its file, and the system frees the lock when the process dies, so a file
whose lock is free is closed. The file is locked before it gets its final name, so it is never taken for closed early.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from tiltyard import files

MAX_FILE_BYTES = 8_000_000  # of a file; then the next one is begun
MAX_TOTAL_BYTES = 256_000_000  # of all files in the folder; further lines are dropped
RETRY_SECONDS = 10.0  # between checks for room in a full folder


class AppendLog:
    """The files that one process appends to in a folder."""

    def __init__(
        self, folder: Path, max_file_bytes: int = MAX_FILE_BYTES, max_total_bytes: int = MAX_TOTAL_BYTES
    ) -> None:
        self.folder, self.max_file_bytes, self.max_total_bytes = folder, max_file_bytes, max_total_bytes
        self.file: int | None = None
        self.written = 0
        self.full_until = 0.0

    def add(self, line: bytes, *, durably: bool = False) -> bool:
        """Append a line; return False if the folder is full."""
        if self.file is None and not self._open_file():
            return False
        try:
            self._append(line, durably=durably)
        except OSError:
            self.close()  # it may end with a partial line, which readers ignore
            raise
        self.written += len(line) + 1
        if self.written >= self.max_file_bytes:
            self.close()
        return True

    def _append(self, line: bytes, *, durably: bool) -> None:
        assert self.file is not None  # noqa: S101 - for the type checker
        if os.write(self.file, line + b"\n") <= len(line):
            raise OSError(f"no room in {self.folder}")
        if durably:
            os.fsync(self.file)

    def close(self) -> None:
        """Close the file, so that readers may take it."""
        if self.file is not None:
            os.close(self.file)
            self.file = None

    def _open_file(self) -> bool:
        if time.monotonic() < self.full_until:
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        if sum(path.stat().st_size for path in _log_files(self.folder)) >= self.max_total_bytes:
            self.full_until = time.monotonic() + RETRY_SECONDS
            return False
        name = f"{time.time_ns()}-{uuid.uuid4().hex[:12]}.jsonl"
        hidden, target = self.folder / f".{name}", self.folder / name
        file = os.open(hidden, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o640)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            hidden.rename(target)
            files.sync_folder(self.folder)
        except BaseException:  # e.g. too many open files; no reader takes hidden files
            os.close(file)
            for path in (hidden, target):
                path.unlink(missing_ok=True)
            raise
        self.file, self.written = file, 0
        return True


def _log_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*.jsonl"))


def read_lines(path: Path) -> list[bytes]:
    """Return the complete lines of a file; a last line without a line break is not complete."""
    return path.read_bytes().split(b"\n")[:-1]


def list_files(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield each file, oldest first, and whether it is closed; a closed file stays locked until the next one."""
    for path in _log_files(folder):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield path, False
            else:
                yield path, True
