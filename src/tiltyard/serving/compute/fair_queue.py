"""Fair queue: of clients, of a client's kinds of work, and of its connections, the one that used the least is next.

Clients behind one address, or with one API key, are a single client here. Its kinds of work and its connections have
equal shares, so that one of them that sends much delays the others less.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import Generic, TypeVar

HALF_LIFE_SECONDS = 10.0  # used time counts half as much after this
OWN_HALF_LIFE_SECONDS = 2.0  # among a client's own work: a kind that was busy before must not wait long for another
LAST_SERVED = "last served"  # in place of a connection: the time that the last one had used
MAX_REMEMBERED = 4_096  # clients, kinds of work and connections whose used time is remembered

Item = TypeVar("Item")
Flow = tuple[str, ...]  # a client, or a client and a kind of work, or these and a connection


class FairQueue(Generic[Item]):
    """Waiting items by flow, limited in total and per client."""

    def __init__(self, max_items: int, max_per_client: int) -> None:
        self.max_items, self.max_per_client = max_items, max_per_client
        self.waiting: dict[Flow, deque[Item]] = {}
        self.used: dict[Flow, tuple[float, float]] = {}  # seconds used, and the time of the last update

    def __len__(self) -> int:
        """Return the number of waiting items."""
        return sum(map(len, self.waiting.values()))

    def put(self, flow: Flow, item: Item) -> Item | None:
        """Add an item; return the item that is dropped if there is no room, which may be this one.

        It is the last one of the client with the most items, there of the kind of work with the most, there of the
        connection that used the most time.
        """
        crowded, dropped = self._crowded(flow), None
        self._introduce(flow)
        if crowded:
            flows = [other for other in self.waiting if other[: len(crowded)] == crowded]
            ranks = self._ranks([*flows, flow])
            largest = max(flows, key=ranks.__getitem__, default=flow)
            if crowded == flow[: len(crowded)] and ranks[largest] <= ranks[flow]:
                return item
            dropped = self._pop(largest, last=True)
        self.waiting.setdefault(flow, deque()).append(item)
        return dropped

    def _crowded(self, flow: Flow) -> Flow:
        """Return the client and the kind of work that must lose an item before this flow may add one, if any."""
        counts = self._counts(1, flow)
        client = flow[:1]
        if counts[client] < self.max_per_client:
            if counts.total() < self.max_items:
                return ()
            client = _largest(counts, client)
        kinds = Counter({kind: count for kind, count in self._counts(2, flow).items() if kind[:1] == client})
        return _largest(kinds, flow[:2] if flow[:1] == client else ())

    def _counts(self, depth: int, flow: Flow) -> Counter[Flow]:
        """Return the number of items by the first parts of their flows, among them those of this flow."""
        counts = Counter({flow[:depth]: 0})
        for other, items in self.waiting.items():
            counts[other[:depth]] += len(items)
        return counts

    def take(self) -> tuple[Flow, Item]:
        """Remove and return the first item of the flow that used the least time, with the flow."""
        flow = min(self.waiting, key=self._ranks(self.waiting).__getitem__)
        return flow, self._pop(flow)

    def charge(self, flow: Flow, seconds: float) -> None:
        """Add to the time that a flow, its kind of work and its client used."""
        now = time.monotonic()
        for depth in range(1, len(flow) + 1):
            self.used[flow[:depth]] = (self._used_seconds(flow[:depth], now) + seconds, now)
        if len(flow) > 1:
            self.used[*flow[:-1], LAST_SERVED] = self.used[flow]
        self._forget(now)

    def _forget(self, now: float) -> None:
        """Keep those that used most; seldom, since it takes milliseconds."""
        if len(self.used) > 2 * MAX_REMEMBERED:
            ordered = sorted(self.used, key=lambda name: self._used_seconds(name, now))
            self.used = {name: self.used[name] for name in ordered[-MAX_REMEMBERED:]}

    def clear(self) -> list[Item]:
        """Remove and return all items."""
        dropped = [item for items in self.waiting.values() for item in items]
        self.waiting.clear()
        return dropped

    def _pop(self, flow: Flow, *, last: bool = False) -> Item:
        items = self.waiting[flow]
        item = items.pop() if last else items.popleft()
        if not items:
            del self.waiting[flow]
        return item

    def _introduce(self, flow: Flow) -> None:
        """Let a new connection count like the one served last: opening one for each request gains nothing."""
        if flow not in self.used and (last := self.used.get((*flow[:-1], LAST_SERVED))):
            self.used[flow] = last

    def _ranks(self, flows: Iterable[Flow]) -> dict[Flow, list[float]]:
        """Return the seconds used by the client, the kind of work and the connection of each flow."""
        now = time.monotonic()
        return {flow: [self._used_seconds(flow[:depth], now) for depth in range(1, len(flow) + 1)] for flow in flows}

    def _used_seconds(self, flow: Flow, now: float) -> float:
        seconds, updated = self.used.get(flow, (0.0, now))
        half_life = HALF_LIFE_SECONDS if len(flow) == 1 else OWN_HALF_LIFE_SECONDS
        return float(seconds * 0.5 ** ((now - updated) / half_life))


def _largest(counts: Counter[Flow], own: Flow) -> Flow:
    """Return the part with the most items, or the own one if it has about as many."""
    largest = max(counts, key=counts.__getitem__)
    return largest if counts[largest] > counts[own] + 1 or not own else own
