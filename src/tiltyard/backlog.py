"""A backlog: work that one thread does beside the answers; what does not fit is dropped and counted."""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

ITEMS = 1000
BYTES = 32_000_000  # of request bodies that wait: a thousand small ones, or a few large ones
TOLD = 60.0  # seconds between two lines of the log about the same trouble
NICE = 10  # how far the thread stands back behind those that answer

log = logging.getLogger("bentoml.tiltyard")
Item = TypeVar("Item")


class Backlog(Generic[Item]):
    """A bounded queue and its thread, which begins with the first item: a worker that never needs it has none."""

    def __init__(self, name: str, work: Callable[[Item], None], items: int = ITEMS, size: int = BYTES) -> None:
        self.name, self.work, self.size = name, work, size
        self.counts: Counter[str] = Counter()  # done, failed, dropped
        self.waiting: queue.Queue[tuple[Item, int]] = queue.Queue(items)
        self.held = 0
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.told = -TOLD

    def put(self, item: Item, size: int) -> bool:
        """Take an item, unless there is no room; say whether it was taken."""
        with self.lock:
            fits = self.held + size <= self.size and not self.waiting.full()
            if fits:
                self.held += size
                self.waiting.put_nowait((item, size))
            else:
                self.counts["dropped"] += 1
            if self.thread is None:
                self.thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self.thread.start()
        return fits

    def finish(self) -> None:
        """Wait until all that was taken is done."""
        self.waiting.join()

    def _run(self) -> None:
        if sys.platform == "linux":  # where a thread has a priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while True:
            item, size = self.waiting.get()
            try:
                self.work(item)
                self.counts["done"] += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, no request may feel it
                self._tell(error)
            finally:
                with self.lock:
                    self.held -= size
                self.waiting.task_done()

    def _tell(self, error: Exception) -> None:
        self.counts["failed"] += 1
        if time.monotonic() - self.told >= TOLD:
            self.told = time.monotonic()
            log.error("%s: %s: %s", self.name, type(error).__name__, error)
