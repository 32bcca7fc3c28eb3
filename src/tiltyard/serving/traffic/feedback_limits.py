"""Rate limits of feedback: token buckets for each sender and each task, counted in bytes.

Limits of predictions are in http/admission.py.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from tiltyard.errors import RequestError

REQUEST_COST_BYTES = 1000  # added to the size of each request, which is synced to disk by itself
# Bytes at once, and bytes per second; for each worker.
TASK_LIMIT = (4_000_000, 500_000)
SENDER_LIMITS = ((2_000_000, 250_000), (64_000_000, 64_000_000 / 86_400))  # the second one is for a day
MAX_SENDERS = 10_000  # remembered; beyond, the least recently active one is dropped


class TokenBucket:
    """A token bucket of capacity `burst`, refilled at `per_second`."""

    def __init__(self, burst: float, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.burst, self.per_second, self.clock = burst, per_second, clock
        self.left, self.since = burst, clock()

    def wait(self, cost: float) -> float:
        """Return the seconds until there is room for a cost; 0 if there is room now. Take nothing."""
        now = self.clock()
        self.left = min(self.burst, self.left + (now - self.since) * self.per_second)
        self.since = now
        return max(0.0, (min(cost, self.burst) - self.left) / self.per_second)

    def take(self, cost: float) -> None:
        """Take a cost from the bucket."""
        self.left -= min(cost, self.burst)


class TokenBuckets:
    """The token buckets of each sender; a request needs room in all of them."""

    def __init__(self, *limits: tuple[float, float], clock: Callable[[], float] = time.monotonic) -> None:
        self.limits, self.clock = limits, clock
        self.senders: OrderedDict[str, list[TokenBucket]] = OrderedDict()

    def of(self, sender: str) -> list[TokenBucket]:
        """Return the buckets of a sender."""
        if sender not in self.senders:
            self.senders[sender] = [TokenBucket(*limit, clock=self.clock) for limit in self.limits]
        self.senders.move_to_end(sender)
        if len(self.senders) > MAX_SENDERS:
            self.senders.popitem(last=False)
        return self.senders[sender]


class Sender(NamedTuple):
    """The sender of feedback: the name of its API key, if any, and its address."""

    key_name: str
    address: str


class FeedbackLimits:
    """The rate limits of feedback: a sender is limited for each task separately, and all senders of a task together."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.tasks, self.senders = TokenBuckets(TASK_LIMIT, clock=clock), TokenBuckets(*SENDER_LIMITS, clock=clock)
        self.lock = threading.Lock()

    def admit(self, task: str, sender: Sender, size: int) -> None:
        """Raise RequestError if a body of this size exceeds the sender's rate limit, before it is read."""
        with self.lock:
            _require_room(self._of_sender(task, sender), REQUEST_COST_BYTES + size)

    def charge_sender(self, task: str, sender: Sender, size: int) -> None:
        """Count a body against the sender's rate limit, even if its content is then refused."""
        self._charge(lambda: self._of_sender(task, sender), size)

    def charge_task(self, task: str, size: int) -> None:
        """Count a line to be stored against the rate limit of its task."""
        self._charge(lambda: self.tasks.of(task), size)

    def _of_sender(self, task: str, sender: Sender) -> list[TokenBucket]:
        return self.senders.of(f"{task} {sender.key_name or sender.address}")

    def _charge(self, buckets_of: Callable[[], list[TokenBucket]], size: int) -> None:
        with self.lock:
            _require_room(buckets := buckets_of(), cost := REQUEST_COST_BYTES + size)
            for bucket in buckets:
                bucket.take(cost)


def _require_room(buckets: list[TokenBucket], cost: int) -> None:
    """Raise RequestError if a cost exceeds the rate limits now."""
    if wait := max(bucket.wait(cost) for bucket in buckets):
        text = f"expected less feedback at a time; send it again in {math.ceil(wait)} seconds"
        raise RequestError("too_many_requests", text, status=429)
