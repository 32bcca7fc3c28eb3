"""Fair reading: connections whose requests wait are read in turns, an address at a time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import Protocol

AT_ONCE = 4  # connections that are read before the event loop looks at anything else


class Reader(Protocol):
    """A connection."""

    def read(self) -> None:
        """Read a request, or some parts of one."""


class Turns:
    """Whoever opens many connections has no more turns than who opens one."""

    def __init__(self) -> None:
        self.waiting: OrderedDict[str, deque[Reader]] = OrderedDict()
        self.handle: asyncio.Handle | None = None

    def wait(self, address: str, reader: Reader) -> None:
        """Read from a connection when it is its turn."""
        self.waiting.setdefault(address, deque()).append(reader)
        self._schedule()

    def _schedule(self) -> None:
        if not self.handle and self.waiting:
            self.handle = asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self.handle = None
        try:
            for _ in range(min(AT_ONCE, len(self.waiting))):
                self._next().read()
        finally:
            self._schedule()

    def _next(self) -> Reader:
        address, mine = self.waiting.popitem(last=False)
        reader = mine.popleft()
        if mine:
            self.waiting[address] = mine
        return reader
