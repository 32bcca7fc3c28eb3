"""Stages as child processes of a run: redirected output, errors passed back, no orphans."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from tiltyard import errors, files
from tiltyard.runtime.progress import VERBOSE
from tiltyard.workspace import Workspace

RUN = "TILTYARD_RUN"  # environment variable of a stage: the path of the lock that its run holds while it lives
LOG_LINES = 15  # lines of a log that are shown after a crash


_held: set[TextIO] = set()  # locks of running stages
_inside: list[Path] = []  # the lock of the run, if this process is a stage


def in_stage() -> bool:
    """Whether this process is a stage of a run or of DVC, which holds the task's lock."""
    return bool(_inside) or "DVC_STAGE" in os.environ


def end_all() -> None:
    """End every stage that this process has started."""
    for lock in list(_held):
        with contextlib.suppress(ValueError):  # it has ended by itself meanwhile, and its file is closed
            fcntl.flock(lock, fcntl.LOCK_UN)


@contextlib.contextmanager
def supervised(workspace: Workspace, verb: str, task: str) -> Iterator[dict[str, str]]:
    """Hold the lock that a stage watches; yield the environment variables to start it with."""
    lock = _file(workspace, verb, task, f"{os.getpid()}.lock")
    for left in ("error.json", "log"):
        _file(workspace, verb, task, left).unlink(missing_ok=True)
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _held.add(file)
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
            try:
                yield {RUN: str(lock), "PATH": path}
            finally:
                _held.discard(file)
    finally:
        lock.unlink(missing_ok=True)
        if VERBOSE in os.environ:
            for line in log_lines(workspace, verb, task):
                print(line, file=sys.stderr, flush=True)  # noqa: T201 - asked for


def log_lines(workspace: Workspace, verb: str, task: str) -> list[str]:
    """Return what a stage has printed, each line with its name; a stage that was skipped has no log."""
    log = _file(workspace, verb, task, "log")
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return [f"{verb} {task} | {line}" for line in lines]


@contextlib.contextmanager
def as_stage() -> Iterator[None]:
    """Run a command; in a stage, redirect output to a log, store an error in a file, and end when the run dies."""
    if RUN not in os.environ:
        yield
        return
    lock = Path(os.environ.pop(RUN))
    _inside.append(lock)
    verb = lock.name.partition(".")[0]
    die_with_parent(lock, lock.with_name(f"{verb}.log"))
    try:
        yield
    except errors.TiltyardError as error:
        content = {"type": type(error).__name__, "message": error.message, "hint": error.hint}
        files.write_json(lock.with_name(f"{verb}.error.json"), content)
        raise


def die_with_parent(lock: Path, log: Path) -> None:
    """End this process when the lock is released, and redirect its output to the log."""
    end_with_parent(lambda: _wait_until_free(lock), lambda: os._exit(1))
    with log.open("wb") as file:
        for stream in (1, 2):  # descriptors, not sys.stdout, since native libraries print, too
            os.dup2(file.fileno(), stream)


def end_with_parent(wait: Callable[[], object], end: Callable[[], object]) -> None:
    """Start a thread that waits for the end of the parent by a lock, pipe or handle, and then ends this process."""
    threading.Thread(target=lambda: (wait(), end()), daemon=True).start()


def terminate() -> None:
    """Send SIGTERM to this process, so that it shuts down in its usual way."""
    os.kill(os.getpid(), signal.SIGTERM)


def stage_error(workspace: Workspace, verb: str, task: str) -> errors.TiltyardError:
    """Return the error that a stage stored; without one, a StageError with the last line of its log."""
    path = _file(workspace, verb, task, "error.json")
    if path.is_file():
        left = files.read_json(path)
        error: errors.TiltyardError = getattr(errors, left["type"])(left["message"], left["hint"])
        return error
    log = _file(workspace, verb, task, "log")
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    lines = [line for line in text.splitlines() if line.strip()][-LOG_LINES:]
    last = f"; last log line: {lines[-1].strip()}" if lines else ""
    hint = f"to see more, run the stage alone: tiltyard {verb} {task}"
    return errors.StageError(f"{verb} of {task} exited without an error message{last}", hint, lines)


def _file(workspace: Workspace, verb: str, task: str, suffix: str) -> Path:
    return workspace.stages(task) / f"{verb}.{suffix}"


def _wait_until_free(lock: Path) -> None:
    """Wait until the run releases its lock or dies; an orphaned stage would overwrite the files of the next run."""
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
