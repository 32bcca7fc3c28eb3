"""Measure a running service from outside: processes, memory and open files."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import psutil

MIB = 1 << 20


@dataclass(frozen=True)
class ProcessStats:
    """All processes of a service at one time; shared pages count for each of them."""

    processes: tuple[int, ...]
    mib: float
    files: int


def measure_processes(pid: int) -> ProcessStats:
    """Measure a process and its descendants."""
    root = psutil.Process(pid)
    found = [root, *root.children(recursive=True)]
    memory, files = 0, 0
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            memory += process.memory_info().rss
            files += process.num_fds()
    return ProcessStats(tuple(sorted(process.pid for process in found)), round(memory / MIB, 1), files)
