"""A bounded queue: work that one thread does beside the answers; what does not fit is dropped and counted."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

MAX_ITEMS = 1000
MAX_BYTES = 32_000_000  # of request bodies that wait: a thousand small ones, or a few large ones
LOG_INTERVAL_SECONDS = 60.0  # seconds between two lines of the log about the same trouble
NICE = 10  # how far the thread stands back behind those that answer

log = logging.getLogger("bentoml.tiltyard")
Item = TypeVar("Item")


class BoundedQueue(Generic[Item]):
    """A bounded queue and its thread."""

    def __init__(self, name: str, work: Callable[[Item], str], count: Callable[[Item, str], None]) -> None:
        self.name, self.work, self.count, self.max_bytes = name, work, count, MAX_BYTES
        self.counts: Counter[str] = Counter()  # by what became of items: what `work` says, or failed, or dropped
        self.waiting: queue.Queue[tuple[Item, int]] = queue.Queue(MAX_ITEMS)
        self.held_bytes = 0
        self.lock = threading.Lock()
        self.last_logged = -LOG_INTERVAL_SECONDS
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def put(self, item: Item, size: int) -> bool:
        """Take an item, unless there is no room; say whether it was taken."""
        with self.lock:
            fits = self.held_bytes + size <= self.max_bytes and not self.waiting.full()
            if fits:
                self.held_bytes += size
                self.waiting.put_nowait((item, size))
        if not fits:
            self._count_outcome(item, "dropped")
        return fits

    def finish(self) -> None:
        """Wait until all that was taken is done."""
        self.waiting.join()

    def _run(self) -> None:
        """Work until the process ends. Nothing may end it: all that is put in afterwards would be lost."""
        if sys.platform == "linux":  # where a thread has a priority of its own
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while True:
            item, size = self.waiting.get()
            try:
                outcome = self.work(item)
            except BaseException as error:  # noqa: BLE001 - whatever it is, no request may feel it
                outcome = "failed"
                self._log_failure(error)
            self._count_outcome(item, outcome)
            with self.lock:
                self.held_bytes -= size
            self.waiting.task_done()

    def _count_outcome(self, item: Item, outcome: str) -> None:
        """Count what became of an item; a request may wait for this, and must not fail by it."""
        self.counts[outcome] += 1
        try:
            self.count(item, outcome)
        except Exception as error:  # noqa: BLE001 - a figure is lost, the item is not
            self._log_failure(error)

    def _log_failure(self, error: BaseException) -> None:
        if time.monotonic() - self.last_logged >= LOG_INTERVAL_SECONDS:
            self.last_logged = time.monotonic()
            log.error("%s: %s: %s", self.name, type(error).__name__, error)
