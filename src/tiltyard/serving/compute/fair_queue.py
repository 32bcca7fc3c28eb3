"""Fair queue: the client that used the least compute time recently is served next."""

from __future__ import annotations

import time
from collections import deque
from typing import Generic, TypeVar

HALF_LIFE_SECONDS = 10.0  # used time counts half as much after this
MAX_CLIENTS = 4_096  # whose used time is remembered

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Waiting items by client, limited in total and per client."""

    def __init__(self, max_items: int, max_per_client: int) -> None:
        self.max_items, self.max_per_client = max_items, max_per_client
        self.waiting: dict[str, deque[Item]] = {}
        self.used: dict[str, tuple[float, float]] = {}  # by client: seconds used, and the time of the last update

    def __len__(self) -> int:
        """Return the number of waiting items."""
        return sum(map(len, self.waiting.values()))

    def put(self, client: str, item: Item) -> Item | None:
        """Add an item; return the item dropped if there is no room: this one, or the last of the largest client."""
        items = self.waiting.get(client, deque())
        if len(items) >= self.max_per_client:
            return item
        dropped = None
        if len(self) >= self.max_items:
            largest = max(self.waiting, key=lambda name: len(self.waiting[name]))
            if len(self.waiting[largest]) <= len(items) + 1:
                return item
            dropped = self.waiting[largest].pop()
        self.waiting.setdefault(client, items).append(item)
        return dropped

    def take(self) -> tuple[str, Item]:
        """Remove and return the first item of the client that used the least time, with the client."""
        now = time.monotonic()
        client = min(self.waiting, key=lambda name: self._used_seconds(name, now))
        item = self.waiting[client].popleft()
        if not self.waiting[client]:
            del self.waiting[client]
        return client, item

    def charge(self, client: str, seconds: float) -> None:
        """Add to the time that a client used."""
        now = time.monotonic()
        self.used[client] = (self._used_seconds(client, now) + seconds, now)
        if len(self.used) > MAX_CLIENTS:
            del self.used[min(self.used, key=lambda name: self._used_seconds(name, now))]

    def clear(self) -> list[Item]:
        """Remove and return all items."""
        dropped = [item for items in self.waiting.values() for item in items]
        self.waiting.clear()
        return dropped

    def _used_seconds(self, client: str, now: float) -> float:
        seconds, updated = self.used.get(client, (0.0, now))
        return float(seconds * 0.5 ** ((now - updated) / HALF_LIFE_SECONDS))
