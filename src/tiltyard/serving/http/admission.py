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

BEARER_PREFIX = b"bearer "
EVICTION_BATCH = 64  # connections that are chosen together: choosing looks at all of them
MAX_UNSENT_BYTES = 128_000_000  # bytes of all answers that clients do not take
MAX_BUFFERED_BYTES = 256_000_000  # bytes of all bodies that are being read or worked on
Headers = Iterable[tuple[bytes, bytes]]


class AdmissionControl:
    """Knows the limits of a worker, and what is in use of them. Every way to a model asks it."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.active, self.buffered, self.unsent = limits, 0, 0, 0
        self.metrics: RequestMetrics | None = None
        self.evictable: list[BoundedConnection] = []
        self.round_robin = RoundRobin()
        self.buffers: dict[str, int] = {}  # bytes of `buffered` by client

    def authenticate(self, headers: Headers) -> str:
        """Return whose key a request brings, which may be nobody's; refuse it if it needs one."""
        who = api_keys.find_name(self.limits.keys, _api_key(headers)) if self.limits.keys else ""
        if self.limits.keys and not who:
            raise RequestError("unknown_key", "expected a key: Authorization: Bearer KEY", status=401)
        return who

    @property
    def is_full(self) -> bool:
        """Whether no further request may be worked on."""
        return self.active >= self.limits.concurrency

    @contextlib.contextmanager
    def request_slot(self) -> Iterator[None]:
        """Hold one of the places while a request, whose body is there, is worked on; refuse it if there is none."""
        if self.is_full:
            text = f"expected at most {self.limits.concurrency} requests at a time; try again in a second"
            raise RequestError("too_many_requests", text, status=429)
        self._add_active(1)
        try:
            yield
        finally:
            self._add_active(-1)

    def _add_active(self, more: int) -> None:
        self.active += more
        if self.metrics:
            self.metrics.active.set(self.active)

    def buffer(self, size: int, who: str = "") -> None:
        """Count bytes of a body that are kept, or are not any more; refuse them if there is no memory for more."""
        own = self.buffers.get(who, 0) + size
        if size > 0 and (
            self.buffered + size > MAX_BUFFERED_BYTES or own > MAX_BUFFERED_BYTES // 2
        ):  # others have room, too
            raise RequestError("too_many_requests", "expected less data at a time; try again in a second", status=429)
        self.buffered += size
        self.buffers[who] = own
        if not own:
            del self.buffers[who]

    def count_unsent(self, size: int) -> bool:
        """Count bytes of answers that a client does not take; return whether there is memory for them."""
        self.unsent += size
        return self.unsent <= MAX_UNSENT_BYTES

    def evict_if_full(self, connection: BoundedConnection) -> None:
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
        waiting.sort(key=lambda one: one.waiting_since)
        self.evictable = [one for one in itertools.islice(waiting, EVICTION_BATCH) if one is not connection][::-1]
        (self.evictable.pop() if self.evictable else connection).transport.abort()


def _api_key(headers: Headers) -> str:
    """Return the key that a request brings, by either of the two usual headers."""
    for name, value in headers:
        if name == b"authorization" and value[: len(BEARER_PREFIX)].lower() == BEARER_PREFIX:
            return str(value[len(BEARER_PREFIX) :].strip(), "latin-1")
        if name == b"x-api-key":
            return str(value.strip(), "latin-1")
    return ""


READS_PER_TURN = 4  # connections that are read before the event loop looks at anything else


class Reader(Protocol):
    """A connection."""

    def read(self) -> None:
        """Read a request, or some parts of one."""


class RoundRobin:
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
            for _ in range(min(READS_PER_TURN, len(self.waiting))):
                self._next().read()
        finally:
            self._schedule()

    def _next(self) -> Reader:
        address, mine = self.waiting.popitem(last=False)
        reader = mine.popleft()
        if mine:
            self.waiting[address] = mine
        return reader
