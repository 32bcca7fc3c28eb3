"""Errors of DVC's file transfers: DVC only logs a failed copy and continues, so catch the logged error."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from pathlib import Path

from tiltyard.errors import WorkspaceError, join_first


class Failures(logging.Handler):
    """The errors that DVC has logged, by the hash of the file; they are not printed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: dict[str, BaseException] = {}

    def listen(self) -> None:
        """Attach to the logger of DVC's transfers, which run in several threads."""
        logger = logging.getLogger("dvc_data.hashfile.transfer")
        logger.propagate = False
        if self not in logger.handlers:
            logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep an error, and remove the partial file that DVC leaves."""
        error = record.exc_info[1] if record.exc_info else None
        if error and isinstance(record.args, tuple) and record.args:
            self.errors[str(record.args[0])] = error
            partial = getattr(error, "filename2", None)
            if isinstance(partial, str) and partial.endswith(".tmp"):
                with contextlib.suppress(OSError):
                    Path(partial).unlink()

    def take(self, digests: Iterable[str]) -> BaseException | None:
        """Return the error of the first of these hashes that has one, and forget their errors."""
        errors = [self.errors.pop(digest) for digest in digests if digest in self.errors]
        return errors[0] if errors else None


FAILURES = Failures()


def transfer_error(lost: list[str], where: str, hint: str) -> Exception:
    """Return the exception for files that were not copied: the operating system's own error if there is one."""
    cause = FAILURES.take(lost)
    if isinstance(cause, OSError):
        return cause
    why = f": {cause}" if cause else ""
    return WorkspaceError(f"DVC could not copy {join_first([digest[:12] for digest in lost])} to {where}{why}", hint)
