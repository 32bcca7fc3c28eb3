"""How a run and its stages talk: output goes to a file, an error comes back whole, no stage outlives its run."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from tiltyard import errors, files, progress
from tiltyard.workspace import Workspace

RUN = "TILTYARD_RUN"  # in the environment of a stage: the lock that its run holds as long as it lives
LOCK_SECONDS = 24 * 3600.0  # seconds that one waits for another, who may be training
PAUSE = 0.3  # seconds between two looks
LOG_LINES = 15  # lines of a log that are shown after a crash


@contextlib.contextmanager
def task_lock(workspace: Workspace, task: str, *, reading: bool = False) -> Iterator[None]:
    """Work on a task as the only one, after whoever does now; the lock of a process that died is free.

    Those who only read what a run makes may do so together; a run waits for them, and they for it.
    """
    if _inside or "DVC_STAGE" in os.environ:  # who runs this stage holds it, or DVC's own locks do the same
        yield
        return
    path = workspace.work_lock(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a+", encoding="utf-8") as file:
            _wait_for(file, task, fcntl.LOCK_SH if reading else fcntl.LOCK_EX)
            if not files.is_at(path, file):
                continue  # whoever held it has removed the task, and the file with it
            file.truncate(0)
            file.write(f"{' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])} (process {os.getpid()})")
            file.flush()
            yield
            return


def _wait_for(file: TextIO, task: str, kind: int) -> None:
    """Lock a file when its holder has let go of it."""
    end = time.monotonic() + LOCK_SECONDS
    with progress.show_waiting() as wait:
        while True:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read() or "another process"
                if time.monotonic() > end:
                    hint = f"when it has ended, try again; or end it, and type: tiltyard run {task}"
                    raise errors.WorkspaceError(f"{task}: still worked on by {holder}", hint) from None
                wait(holder)
                time.sleep(PAUSE)
            else:
                return


_held: set[TextIO] = set()  # the locks of stages that run now
_inside: list[Path] = []  # the lock of the run that this process is a stage of


def end_all() -> None:
    """End every stage that this process has started."""
    for lock in list(_held):
        with contextlib.suppress(ValueError):  # it ended by itself meanwhile, and its file is closed
            fcntl.flock(lock, fcntl.LOCK_UN)


@contextlib.contextmanager
def supervised(workspace: Workspace, verb: str, task: str) -> Iterator[dict[str, str]]:
    """Hold the lock that a stage watches; give the environment in which to start it."""
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


@contextlib.contextmanager
def as_stage() -> Iterator[None]:
    """Run a command; as a stage of a run, send output to a file, leave an error there, and die when the run dies."""
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
    """Die with who holds the lock, and write to the log what would be printed."""
    end_with_parent(lambda: _wait_until_free(lock), lambda: os._exit(1))
    with log.open("wb") as file:
        for stream in (1, 2):  # the descriptors, not sys.stdout: native libraries print too
            os.dup2(file.fileno(), stream)


def end_with_parent(wait: Callable[[], object], end: Callable[[], object]) -> None:
    """Wait in a thread until the parent is gone, by a lock, a pipe or a handle; then end this process."""
    threading.Thread(target=lambda: (wait(), end()), daemon=True).start()


def terminate() -> None:
    """Ask this process to end in its own way, as SIGTERM from outside would."""
    os.kill(os.getpid(), signal.SIGTERM)


def stage_error(workspace: Workspace, verb: str, task: str) -> errors.TiltyardError:
    """Return the error that a stage left; if it left none, its last line."""
    path = _file(workspace, verb, task, "error.json")
    if path.is_file():
        left = files.read_json(path)
        made: errors.TiltyardError = getattr(errors, left["type"])(left["message"], left["hint"])
        return made
    log = _file(workspace, verb, task, "log")
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    lines = [line for line in text.splitlines() if line.strip()][-LOG_LINES:]
    last = f"; last log line: {lines[-1].strip()}" if lines else ""
    hint = f"run it alone to see more: tiltyard {verb} {task}"
    return errors.StageError(f"{verb} of {task} exited without an error message{last}", hint, lines)


def _file(workspace: Workspace, verb: str, task: str, suffix: str) -> Path:
    return workspace.root / ".tiltyard" / "stages" / task / f"{verb}.{suffix}"


def _wait_until_free(lock: Path) -> None:
    """Wait for the lock, which is free when the run is dead; two runs of one stage would overwrite each other."""
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
