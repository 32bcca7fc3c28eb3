"""The lock of a task: one command at a time works on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from tiltyard import errors, files
from tiltyard.runtime import processes, progress
from tiltyard.workspace import Workspace

LOCK_SECONDS = 24 * 3600.0  # seconds to wait for another process, which may be training
PAUSE = 0.3  # seconds between two attempts


@contextlib.contextmanager
def task_lock(workspace: Workspace, task: str, *, reading: bool = False) -> Iterator[None]:
    """Hold the lock of a task, exclusive or for `reading` shared; wait until it is free.

    The lock of a process that died is free. Several readers can hold it together, but not with a writer.
    """
    if processes.in_stage():
        yield
        return
    path = workspace.work_lock(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a+", encoding="utf-8") as file:
            _wait_for(file, task, fcntl.LOCK_SH if reading else fcntl.LOCK_EX)
            if not files.is_at(path, file):
                continue  # the process that held it has removed the task and this file
            file.truncate(0)
            file.write(f"{' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])} (process {os.getpid()})")
            file.flush()
            yield
            return


def _wait_for(file: TextIO, task: str, kind: int) -> None:
    """Lock a file as soon as its holder releases it; show the holder meanwhile."""
    end = time.monotonic() + LOCK_SECONDS
    with progress.show_waiting() as wait:
        while True:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read() or "another process"
                if time.monotonic() > end:
                    hint = f"wait until it has ended, or end it; then type: tiltyard run {task}"
                    raise errors.WorkspaceError(f"{task}: still locked by {holder}", hint) from None
                wait(holder)
                time.sleep(PAUSE)
            else:
                return
