"""A running service as the system sees it: its processes, their memory, their open files."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import psutil

MIB = 1 << 20


@dataclass(frozen=True)
class Seen:
    """All processes of a service at one moment; what they share counts in each."""

    processes: tuple[int, ...]
    mib: float
    files: int


def look(pid: int) -> Seen:
    """Look at a process and all that it started."""
    root = psutil.Process(pid)
    found = [root, *root.children(recursive=True)]
    memory, files = 0, 0
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            memory += process.memory_info().rss
            files += process.num_fds()
    return Seen(tuple(sorted(process.pid for process in found)), round(memory / MIB, 1), files)
