"""Every error a user can cause, as one tree; the command line prints them without a traceback.

TiltyardError
├── WorkspaceError      not inside a project, or a part of it is missing
├── TaskError           a task file that cannot be meant
├── SourceError         raw data that cannot be had
├── DataError           data that fails its expectations
├── SealError           the sealed test part was changed
├── StageError          a stage that crashed, with the end of its log
├── TrainingError       a training that diverged, or an export without parity
├── RegistryError       a champion, version or ledger that is not there or not whole
├── PackageError        a packaged service that does not start or answers wrongly
└── RequestError        an instance that the model cannot take (a 4xx over REST)
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

MAX_LISTED = 5  # rows, values or files that a sentence names
MAX_VALUE_LENGTH = 100  # characters of a value in a message


class TiltyardError(Exception):
    """What was wrong, what was expected, what was received; `hint` is what to type next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class WorkspaceError(TiltyardError):
    """The folder is not a project, or lacks a part of one."""


class TaskError(TiltyardError):
    """A task file holds something that cannot be meant."""


class SourceError(TiltyardError):
    """Raw data could not be fetched or read."""


class DataError(TiltyardError):
    """Data fails its expectations, or cannot be split as asked."""


class SealError(TiltyardError):
    """The sealed test part is not the one that was recorded."""


class StageError(TiltyardError):
    """A stage ended without an error of ours: `log` holds the last lines that it wrote."""

    def __init__(self, message: str, hint: str = "", log: Sequence[str] = ()) -> None:
        super().__init__(message, hint)
        self.log = list(log)


class TrainingError(TiltyardError):
    """Training diverged, or the exported model differs from the trained one."""


class RegistryError(TiltyardError):
    """A champion, a version or the ledger is missing or damaged."""


class PackageError(TiltyardError):
    """A packaged service did not start, or answered otherwise than the evaluation."""


class RequestError(TiltyardError):
    """An instance the model cannot take: a code, a sentence and the field at fault."""

    def __init__(self, code: str, message: str, field: str = "", status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.status = status

    def body(self) -> dict[str, dict[str, str]]:
        """Return the one shape in which every refusal is sent."""
        return {"error": {"code": self.code, "message": self.message, "field": self.field}}


def join_first(items: Sequence[object]) -> str:
    """Name the first few."""
    more = f" and {len(items) - MAX_LISTED:,} more" if len(items) > MAX_LISTED else ""
    return ", ".join(str(item) for item in items[:MAX_LISTED]) + more


def format_value(value: object) -> str:
    """Spell a refused value as JSON would, and not at full length if it is long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        text = repr(value)
    except ValueError:  # Python spells no whole number of more than 4300 digits
        return "a huge number"
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}..."


def from_os_error(error: OSError) -> WorkspaceError | None:
    """Return in our words that a disk or a folder takes no more; None if that is not what an error is about."""
    if isinstance(error, shutil.Error):
        error = _first(error)
    names = [name for name in (error.filename2, error.filename) if isinstance(name, str | bytes)]  # to before from
    path = Path(os.fsdecode(names[0])) if names else Path()
    place = next(one for one in (path, *path.parents, Path()) if os.access(one, os.F_OK))  # half a file is gone by now
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "see what takes most: du -sh .tiltyard out data .dvc/cache; then: dvc gc --workspace"
        return WorkspaceError(f"no room left on the disk{f' of {place}' if names else ''}", hint)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = f"see who may write there: ls -ld {shlex.quote(str(place))}; work in a copy, or as who owns it"
        return WorkspaceError(f"{place} cannot be used: {error.strerror}", hint)
    return None


def _first(error: shutil.Error) -> OSError:
    """Return the first of the errors that copying a folder gathered: from, to and text of each, without its number."""
    with contextlib.suppress(IndexError, TypeError, ValueError):
        _, path, text = error.args[0][0]
        if number := re.search(r"\[Errno (\d+)\]", str(text)):
            return OSError(int(number[1]), os.strerror(int(number[1])), str(path))
    return error
