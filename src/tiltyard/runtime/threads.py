"""Work in threads: NumPy, Arrow and files release Python's lock, so that threads use all cores. Order is kept."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
END = object()
MAX_THREADS = 8  # each holds an item and its result in memory


def cores() -> int:
    """Return the number of cores that this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def ahead(items: Iterable[Item]) -> Iterator[Iterator[Item]]:
    """Yield an iterator that computes the next item while the caller uses the current one."""
    source = iter(items)

    def prefetched(executor: ThreadPoolExecutor) -> Iterator[Item]:
        next_item = executor.submit(next, source, END)
        while (item := next_item.result()) is not END:
            next_item = executor.submit(next, source, END)
            yield item  # type: ignore[misc]

    with ThreadPoolExecutor(1) as executor:
        yield prefetched(executor)


def grouped(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of `size` items; the last list has the remaining ones."""
    source = iter(items)
    while group := list(islice(source, size)):
        yield group


def ordered(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the result for each item, in order; as many items as there are cores are processed at a time."""
    workers = min(cores(), MAX_THREADS)
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as executor:
        for item in items:
            pending.append(executor.submit(function, item))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
