"""Why DVC could not copy a file into its cache or to a remote: it logs the error, and goes on without the file."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from pathlib import Path

from tiltyard.errors import WorkspaceError, listed


class Failures(logging.Handler):
    """The errors that DVC has logged, by the hash of what was copied; nothing of them is printed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: dict[str, BaseException] = {}

    def listen(self) -> None:
        """Hear of each copy that fails, in whatever thread of DVC's."""
        logger = logging.getLogger("dvc_data.hashfile.transfer")
        logger.propagate = False
        if self not in logger.handlers:
            logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep an error, and remove the half of a file that DVC leaves."""
        error = record.exc_info[1] if record.exc_info else None
        if error and isinstance(record.args, tuple) and record.args:
            self.errors[str(record.args[0])] = error
            half = getattr(error, "filename2", None)
            if isinstance(half, str) and half.endswith(".tmp"):
                with contextlib.suppress(OSError):
                    Path(half).unlink()

    def take(self, digests: Iterable[str]) -> BaseException | None:
        """Return why one of them could not be copied, and forget it."""
        found = [self.errors.pop(digest) for digest in digests if digest in self.errors]
        return found[0] if found else None


FAILURES = Failures()


def error(lost: list[str], where: str, hint: str) -> Exception:
    """Return what to raise where files were not copied: the system's own error, if it is one."""
    cause = FAILURES.take(lost)
    if isinstance(cause, OSError):
        return cause
    why = f": {cause}" if cause else ""
    return WorkspaceError(f"DVC could not copy {listed([digest[:12] for digest in lost])} to {where}{why}", hint)
