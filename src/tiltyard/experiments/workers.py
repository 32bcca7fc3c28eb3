"""Workers: processes that train side by side, a thread each, and die with who started them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
import uuid
from collections.abc import Callable, Iterator
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from tiltyard import files
from tiltyard import processes as stage
from tiltyard.errors import TiltyardError

# One thread each: two trainings with two threads each on two cores only wait for each other.
THREADS = {
    **dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}
PAUSE = 0.3  # seconds between two looks


def work(folder: Path, jobs: int, task: Callable[..., Any], *arguments: Any) -> Iterator[None]:
    """Start so many processes that call a function; give control now and then until all have ended."""
    with _held(folder / f"{uuid.uuid4().hex}.lock") as lock:
        logs = [lock.with_suffix(f".{number}.log") for number in range(jobs)]
        with _started([(lock, log, task, arguments) for log in logs]) as processes:
            while any(process.is_alive() for process in processes):
                yield
                time.sleep(PAUSE)
            yield
        for process, log in zip(processes, logs, strict=True):
            if process.exitcode:
                raise TiltyardError(
                    f"a worker ended with {process.exitcode}{_last_line(log)}",
                    hint="the same command goes on where it was",
                )
            log.unlink()


@contextlib.contextmanager
def _held(path: Path) -> Iterator[Path]:
    with files.claimed(path):
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _started(calls: list[tuple[Any, ...]]) -> Iterator[list[SpawnProcess]]:
    """Start a process a call; none outlives the block."""
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    processes = [context.Process(target=_begin, args=call, daemon=True) for call in calls]
    wanted = {name: value for name, value in THREADS.items() if name not in os.environ}
    os.environ.update(wanted)  # must be there when the process begins
    try:
        for process in processes:
            process.start()
    finally:
        for name in wanted:
            del os.environ[name]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.join()


def _begin(lock: Path, log: Path, task: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Run in the new process."""
    stage.die_with_parent(lock, log)
    task(*arguments)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((f": {line.strip()}" for line in reversed(lines) if line.strip()), "")
