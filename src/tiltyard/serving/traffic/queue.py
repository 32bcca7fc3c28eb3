"""Bounded queue with a background thread; items that do not fit are dropped and counted."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

MAX_ITEMS = 1000
MAX_BYTES = 32_000_000  # of waiting request bodies: a thousand small ones, or a few large ones
LOG_INTERVAL_SECONDS = 60.0  # between log lines about the same failure

log = logging.getLogger("bentoml.tiltyard")  # BentoML prints its own loggers only
Item = TypeVar("Item")


class FailureLog:
    """Logs failures, at most one per interval, since the same one may occur in every request."""

    def __init__(self, name: str) -> None:
        self.name, self.last_logged = name, -LOG_INTERVAL_SECONDS

    def __call__(self, error: BaseException) -> None:
        """Log a failure."""
        if time.monotonic() - self.last_logged >= LOG_INTERVAL_SECONDS:
            self.last_logged = time.monotonic()
            log.error("%s: %s: %s", self.name, type(error).__name__, error)


class BoundedQueue(Generic[Item]):
    """A bounded queue, and the thread that processes its items."""

    def __init__(self, name: str, work: Callable[[Item], str], count: Callable[[Item, str], None]) -> None:
        self.work, self.count, self.max_bytes, self.log_failure = work, count, MAX_BYTES, FailureLog(name)
        self.counts: Counter[str] = Counter()  # items by outcome: the result of `work`, or failed, or dropped
        self.waiting: queue.Queue[tuple[Item, int]] = queue.Queue(MAX_ITEMS)
        self.held_bytes = 0
        self.lock = threading.Lock()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def put(self, item: Item, size: int) -> bool:
        """Add an item if there is room; return whether it was added."""
        with self.lock:
            fits = self.held_bytes + size <= self.max_bytes and not self.waiting.full()
            if fits:
                self.held_bytes += size
                self.waiting.put_nowait((item, size))
        if not fits:
            self._count_outcome(item, "dropped")
        return fits

    def finish(self) -> None:
        """Wait until all added items are processed."""
        self.waiting.join()

    def _run(self) -> None:
        """Process items until the process ends. No exception may stop the thread: later items would be lost."""
        while True:
            item, size = self.waiting.get()
            try:
                outcome = self.work(item)
            except BaseException as error:  # noqa: BLE001 - no failure here may affect a request
                outcome = "failed"
                self.log_failure(error)
            self._count_outcome(item, outcome)
            with self.lock:
                self.held_bytes -= size
            self.waiting.task_done()

    def _count_outcome(self, item: Item, outcome: str) -> None:
        """Count the outcome of an item; called during requests, so it must not raise."""
        self.counts[outcome] += 1
        try:
            self.count(item, outcome)
        except Exception as error:  # noqa: BLE001 - a lost count must not lose the item
            self.log_failure(error)
