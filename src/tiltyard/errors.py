"""The exceptions that users can cause, as one tree; the command line prints them without a traceback.

TiltyardError
├── WorkspaceError      not inside a project, or a part of it is missing
├── TaskError           an invalid task file
├── SourceError         raw data that cannot be fetched or read
├── DataError           data that fails its expectations or cannot be used
├── SealError           the sealed test rows were changed
├── StageError          a stage that crashed, with the end of its log
├── TrainingError       a training that diverged, or an export that predicts differently
├── RegistryError       a champion, version or ledger that is missing or damaged
├── PackageError        a packaged service that does not start or predicts differently
└── RequestError        an invalid request (a status of 4xx over REST)
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

WINDOWS = "Tiltyard runs on Linux and macOS; on Windows, install and run it inside WSL: wsl --install"

MAX_LISTED = 5  # rows, values or files that a message names
MAX_VALUE_LENGTH = 100  # characters of a value in a message

MIN_SIMILARITY = 0.6  # of two names, from 0 to 1, so that one is suggested for the other


class TiltyardError(Exception):
    """Base class: `message` has what was wrong, expected and received; `hint` is what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class WorkspaceError(TiltyardError):
    """The folder is not a project, or lacks a part of one."""


class TaskError(TiltyardError):
    """A task file is invalid."""


class PluginError(TiltyardError):
    """A plug-in of another package that cannot be used."""


class SourceError(TiltyardError):
    """Raw data could not be fetched or read."""


class DataError(TiltyardError):
    """Data fails its expectations, or cannot be parsed or split."""


class SealError(TiltyardError):
    """The test rows differ from the sealed ones."""


class StageError(TiltyardError):
    """A stage crashed without an error message of Tiltyard; `log` holds the last lines of its output."""

    def __init__(self, message: str, hint: str = "", log: Sequence[str] = ()) -> None:
        super().__init__(message, hint)
        self.log = list(log)


class TrainingError(TiltyardError):
    """Training diverged, or the exported model differs from the trained one."""


class RegistryError(TiltyardError):
    """A champion, a version or the ledger is missing or damaged."""


class PackageError(TiltyardError):
    """A packaged service did not start, or its predictions differ from those of the evaluation."""


class RequestError(TiltyardError):
    """An invalid request: an error code, a message, the invalid field, and the HTTP status."""

    def __init__(self, code: str, message: str, field: str = "", status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.status = status

    def body(self) -> dict[str, dict[str, str]]:
        """Return the JSON body of the error, which has the same format for all errors."""
        return {"error": {"code": self.code, "message": self.message, "field": self.field}}


def newer_format(place: object, received: object, known: int) -> tuple[str, str]:
    """Return message and hint for a file that a newer version of Tiltyard wrote in a format that this one lacks."""
    text = f"{place} was written by a newer Tiltyard: expected format {known} or lower; received {received!s:.40}"
    return text, "install that version: see docs/how-to/upgrade.md"


def join_first(items: Sequence[object]) -> str:
    """Return the first items, separated by commas, and the number of the others."""
    remainder = f" and {len(items) - MAX_LISTED:,} more" if len(items) > MAX_LISTED else ""
    return ", ".join(str(item) for item in items[:MAX_LISTED]) + remainder


def format_value(value: object) -> str:
    """Return a refused value as text for a message: null, true and false as in JSON, long values cut off."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        text = repr(value)
    except ValueError:  # Python does not convert integers of more than 4300 digits
        return "a huge number"
    except RecursionError:  # JSON that could just be decoded, with fewer calls on the stack
        return "a value that is nested too deeply"
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}..."


def from_os_error(error: OSError) -> WorkspaceError | None:
    """Return a WorkspaceError for a full disk or a missing permission; None for other errors."""
    if isinstance(error, shutil.Error):
        error = _first(error)
    names = [name for name in (error.filename2, error.filename) if isinstance(name, str | bytes)]  # the target first
    path = Path(os.fsdecode(names[0])) if names else Path()
    candidates = (path, *path.parents, Path())  # partial files are removed already
    existing = next(candidate for candidate in candidates if os.access(candidate, os.F_OK))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "see what uses the space: du -sh .tiltyard out data .dvc/cache; then: dvc gc --workspace"
        return WorkspaceError(f"no room left on the disk{f' of {existing}' if names else ''}", hint)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = f"see who may write there: ls -ld {shlex.quote(str(existing))}; work in a copy, or as its owner"
        return WorkspaceError(f"{existing} cannot be used: {error.strerror}", hint)
    return None


def _first(error: shutil.Error) -> OSError:
    """Return the first error of a list of copy errors; only its text holds the error number."""
    with contextlib.suppress(IndexError, TypeError, ValueError):
        _, path, text = error.args[0][0]
        if number := re.search(r"\[Errno (\d+)\]", str(text)):
            return OSError(int(number[1]), os.strerror(int(number[1])), str(path))
    return error


def similar_names(
    name: str, names: Iterable[str], *, limit: int = 1, min_similarity: float = MIN_SIMILARITY
) -> list[str]:
    """Return the names similar to a misspelt one, the nearest first."""
    import difflib  # only for messages: every command imports this file

    return difflib.get_close_matches(name, [*names], n=limit, cutoff=min_similarity)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a question in brackets that suggests the nearest name; empty if none is similar."""
    similar = similar_names(name, names)
    return f" (did you mean '{similar[0]}'?)" if similar else ""
