"""Rate limits of feedback: token buckets for each sender. Limits of predictions are in http/admission.py."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

MAX_SENDERS = 10_000  # remembered; beyond, the least recently active one is dropped


class RateLimit:
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


class RateLimits:
    """The rate limits of each sender; a request needs room in all of them."""

    def __init__(self, *limits: tuple[float, float], clock: Callable[[], float] = time.monotonic) -> None:
        self.limits, self.clock = limits, clock
        self.senders: OrderedDict[str, list[RateLimit]] = OrderedDict()

    def for_sender(self, sender: str) -> list[RateLimit]:
        """Return the limits of a sender."""
        if sender not in self.senders:
            self.senders[sender] = [RateLimit(*limit, clock=self.clock) for limit in self.limits]
        self.senders.move_to_end(sender)
        if len(self.senders) > MAX_SENDERS:
            self.senders.popitem(last=False)
        return self.senders[sender]
