"""Worker processes for parallel training: one thread each; they end with their parent."""

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
from tiltyard.errors import TiltyardError
from tiltyard.runtime import processes as stage

# One thread each: trainings with several threads on the same cores would wait for each other.
THREADS = {
    **dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}
POLL_SECONDS = 0.3


def run_workers(folder: Path, jobs: int, task: Callable[..., Any], *arguments: Any) -> Iterator[None]:
    """Run a function in `jobs` processes; yield from time to time until all have ended."""
    with _hold_lock(folder / f"{uuid.uuid4().hex}.lock") as lock:
        logs = [lock.with_suffix(f".{number}.log") for number in range(jobs)]
        with _start([(lock, log, task, arguments) for log in logs]) as processes:
            while any(process.is_alive() for process in processes):
                yield
                time.sleep(POLL_SECONDS)
            yield
        for process, log in zip(processes, logs, strict=True):
            if process.exitcode:
                raise TiltyardError(
                    f"a worker ended with {process.exitcode}{_last_line(log)}",
                    hint="the same command continues where it stopped",
                )
            log.unlink()


@contextlib.contextmanager
def _hold_lock(path: Path) -> Iterator[Path]:
    with files.claimed(path):
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _start(calls: list[tuple[Any, ...]]) -> Iterator[list[SpawnProcess]]:
    """Start one process for each call; all are killed at the end of the block."""
    context = multiprocessing.get_context("spawn")  # a forked process with threads may hang
    processes = [context.Process(target=_worker_main, args=call, daemon=True) for call in calls]
    added = {name: value for name, value in THREADS.items() if name not in os.environ}
    os.environ.update(added)  # before the processes start, which inherit it
    try:
        for process in processes:
            process.start()
    finally:
        for name in added:
            del os.environ[name]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.join()


def _worker_main(lock: Path, log: Path, task: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Run in the worker process."""
    stage.die_with_parent(lock, log)
    task(*arguments)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((f": {line.strip()}" for line in reversed(lines) if line.strip()), "")
