"""Admission: who may ask, how many requests are worked on at a time, and how many connections are open."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from tiltyard.errors import RequestError
from tiltyard.serving.http import api_keys
from tiltyard.serving.http.limits import Limits

if TYPE_CHECKING:
    from tiltyard.serving.http.connection import BoundedConnection
    from tiltyard.serving.http.prometheus import RequestMetrics

BEARER = b"bearer "
EVICTED = 64  # connections that are chosen together: choosing looks at all of them
UNSENT = 128_000_000  # bytes of all answers that clients do not take
BUFFERED = 256_000_000  # bytes of all bodies that are being read or worked on
Headers = Iterable[tuple[bytes, bytes]]


class AdmissionControl:
    """Knows the limits of a worker, and what is in use of them. Every way to a model asks it."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.inside, self.buffered, self.unsent = limits, 0, 0, 0
        self.meters: RequestMetrics | None = None
        self.evictable: list[BoundedConnection] = []
        self.turns = Turns()
        self.buffers: dict[str, int] = {}  # bytes of `buffered` by client

    def holder(self, headers: Headers) -> str:
        """Return whose key a request brings, which may be nobody's; refuse it if it needs one."""
        who = api_keys.holder(self.limits.keys, _key(headers)) if self.limits.keys else ""
        if self.limits.keys and not who:
            raise RequestError("unknown_key", "expected a key: Authorization: Bearer KEY", status=401)
        return who

    @property
    def full(self) -> bool:
        """Whether no further request may be worked on."""
        return self.inside >= self.limits.concurrency

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Hold one of the places while a request, whose body is there, is worked on; refuse it if there is none."""
        if self.full:
            text = f"expected at most {self.limits.concurrency} requests at a time; try again in a second"
            raise RequestError("too_many_requests", text, status=429)
        self._inside(1)
        try:
            yield
        finally:
            self._inside(-1)

    def _inside(self, more: int) -> None:
        self.inside += more
        if self.meters:
            self.meters.inside.set(self.inside)

    def buffer(self, size: int, who: str = "") -> None:
        """Count bytes of a body that are kept, or are not any more; refuse them if there is no memory for more."""
        own = self.buffers.get(who, 0) + size
        if size > 0 and (self.buffered + size > BUFFERED or own > BUFFERED // 2):  # others have room, too
            raise RequestError("too_many_requests", "expected less data at a time; try again in a second", status=429)
        self.buffered += size
        self.buffers[who] = own
        if not own:
            del self.buffers[who]

    def keep_unsent(self, size: int) -> bool:
        """Count bytes of answers that a client does not take; return whether there is memory for them."""
        self.unsent += size
        return self.unsent <= UNSENT

    def make_room(self, connection: BoundedConnection) -> None:
        """End the connection that has kept us waiting longest if there are too many; none that awaits its answer."""
        if len(connection.connections) <= self.limits.connections:
            return
        while self.evictable:
            other = self.evictable.pop()
            if other.evictable and not other.transport.is_closing():
                other.transport.abort()
                return
        everyone: set[Any] = connection.connections
        waiting: list[BoundedConnection] = [one for one in everyone if one.evictable]
        waiting.sort(key=lambda one: one.since)
        self.evictable = [one for one in itertools.islice(waiting, EVICTED) if one is not connection][::-1]
        (self.evictable.pop() if self.evictable else connection).transport.abort()


def _key(headers: Headers) -> str:
    """Return the key that a request brings, by either of the two usual headers."""
    for name, value in headers:
        if name == b"authorization" and value[: len(BEARER)].lower() == BEARER:
            return str(value[len(BEARER) :].strip(), "latin-1")
        if name == b"x-api-key":
            return str(value.strip(), "latin-1")
    return ""


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
