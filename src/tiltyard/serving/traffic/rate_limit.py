"""Rate limits: how much somebody may send at once, and how much as time goes on."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

MAX_SENDERS = 10_000  # senders that are remembered; of more the one that was quiet longest is forgotten


class RateLimit:
    """A token bucket: it holds `burst`, and what was taken comes back at `per_second`."""

    def __init__(self, burst: float, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.burst, self.per_second, self.clock = burst, per_second, clock
        self.left, self.since = burst, clock()

    def wait(self, cost: float) -> float:
        """Return in how many seconds there is room for a cost; 0 if there is now. Nothing is taken."""
        now = self.clock()
        self.left = min(self.burst, self.left + (now - self.since) * self.per_second)
        self.since = now
        return max(0.0, (min(cost, self.burst) - self.left) / self.per_second)

    def take(self, cost: float) -> None:
        """Take it."""
        self.left -= min(cost, self.burst)


class RateLimits:
    """Several limits for each sender, all of which must have room."""

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
