"""Admission control: authentication by API key, and limits on concurrent requests, connections and memory."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter, OrderedDict, deque
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from tiltyard.errors import RequestError
from tiltyard.serving.http import api_keys
from tiltyard.serving.http.api_keys import Headers
from tiltyard.serving.http.limits import Limits

if TYPE_CHECKING:
    from tiltyard.serving.http.connection import BoundedConnection
    from tiltyard.serving.http.prometheus import RequestMetrics

EVICTION_BATCH = 64  # connections chosen at once, since choosing sorts all of them
MAX_UNSENT_BYTES = 128_000_000  # of all responses that clients do not read
MAX_BUFFERED_BYTES = 256_000_000  # of all request bodies in memory


class AdmissionControl:
    """The limits of a worker and their current use. The fast path and the routes share it."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.active, self.buffered, self.unsent_bytes = limits, 0, 0, 0
        self.unsent: dict[BoundedConnection, int] = {}  # unread bytes, by connection in order of the time
        self.metrics: RequestMetrics | None = None
        self.evictable: list[BoundedConnection] = []
        self.round_robin = RoundRobin()
        self.buffers: dict[str, int] = {}  # by client

    def authenticate(self, headers: Headers) -> str:
        """Return the name of a request's API key, empty if none is required; raise RequestError if it is unknown."""
        return api_keys.authenticate(self.limits.keys, headers) if self.limits.keys else ""

    @property
    def is_full(self) -> bool:
        """Whether all request slots are taken."""
        return self.active >= self.limits.concurrency

    @contextlib.contextmanager
    def request_slot(self) -> Iterator[None]:
        """Hold a request slot while a response is computed; raise RequestError if all are taken."""
        if self.is_full:
            text = f"expected at most {self.limits.concurrency} requests at a time; try again in a second"
            raise RequestError("too_many_requests", text, status=429)
        self._add_active(1)
        try:
            yield
        finally:
            self._add_active(-1)

    def _add_active(self, change: int) -> None:
        self.active += change
        if self.metrics:
            self.metrics.active.set(self.active)

    def buffer(self, size: int, client: str = "") -> None:
        """Add to the bytes of bodies in memory, or subtract; raise RequestError above the limits."""
        client_bytes = self.buffers.get(client, 0) + size
        max_client_bytes = MAX_BUFFERED_BYTES // 2
        exceeds_limit = self.buffered + size > MAX_BUFFERED_BYTES or client_bytes > max_client_bytes
        if size > 0 and exceeds_limit:
            raise RequestError("too_many_requests", "expected less data at a time; try again in a second", status=429)
        self.buffered += size
        self.buffers[client] = client_bytes
        if not client_bytes:
            del self.buffers[client]

    def hold_unsent(self, connection: BoundedConnection, size: int) -> None:
        """Count the unread bytes of a connection; above the limit, close the slowest ones of the largest client."""
        self.release_unsent(connection)
        self.unsent[connection] = size
        self.unsent_bytes += size
        while self.unsent_bytes > MAX_UNSENT_BYTES:
            slowest = self._slowest_reader()
            self.release_unsent(slowest)
            slowest.transport.abort()

    def _slowest_reader(self) -> BoundedConnection:
        """Return the connection that has been unread the longest, of the client with the most unread bytes."""
        totals = Counter[str]()
        for connection, size in self.unsent.items():
            totals[connection.address] += size
        largest = max(totals, key=totals.__getitem__)
        return next(connection for connection in self.unsent if connection.address == largest)

    def release_unsent(self, connection: BoundedConnection) -> None:
        """Stop counting a connection, whose client reads or has left."""
        self.unsent_bytes -= self.unsent.pop(connection, 0)

    def evict_if_full(self, connection: BoundedConnection) -> None:
        """Close the longest idle connection if there are too many, but never one that waits for a response."""
        if len(connection.connections) <= self.limits.connections:
            return
        while self.evictable:
            oldest = self.evictable.pop()
            if oldest.evictable and not oldest.transport.is_closing():
                oldest.transport.abort()
                return
        connections: set[Any] = connection.connections
        idle: list[BoundedConnection] = [candidate for candidate in connections if candidate.evictable]
        idle.sort(key=lambda candidate: candidate.waiting_since)
        self.evictable = [
            candidate for candidate in itertools.islice(idle, EVICTION_BATCH) if candidate is not connection
        ][::-1]
        (self.evictable.pop() if self.evictable else connection).transport.abort()


READS_PER_TURN = 4  # connections read before the event loop handles other events
FREE_TURNS = 8  # connections read without waiting for a turn, after a poll of the event loop


class Reader(Protocol):
    """A connection that waits for its turn to be read."""

    def read(self) -> None:
        """Read a request or a part of it."""


class RoundRobin:
    """Round-robin scheduling by client address: a client with many connections gets no more turns than others.

    Of one address, connections whose client paused and the others take turns. The event loop polls after a few reads,
    so that a client whose request arrives now waits for these, and not for all that have arrived with it.
    """

    def __init__(self) -> None:
        self.waiting: OrderedDict[Hashable, deque[Reader]] = OrderedDict()  # by address, and whether the client paused
        self.handle: asyncio.Handle | None = None
        self.polled_at, self.free_turns = -1.0, 0

    def has_free_turn(self, polled_at: float) -> bool:
        """Return whether a connection may be read at once: no other waits, and few were read since the last poll.

        `polled_at` is the time of the event loop; uvloop reads the clock once for each poll, in milliseconds.
        """
        if polled_at != self.polled_at:
            self.polled_at, self.free_turns = polled_at, FREE_TURNS
        self.free_turns -= 1
        return self.free_turns >= 0 and not self.waiting

    def wait(self, group: Hashable, reader: Reader) -> None:
        """Queue a connection to be read when it is the turn of its group."""
        self.waiting.setdefault(group, deque()).append(reader)
        self._schedule()

    def _schedule(self) -> None:
        if not self.handle and self.waiting:
            self.handle = asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self.handle = None
        try:
            for _ in range(READS_PER_TURN):
                if self.waiting:
                    self._next().read()
        finally:
            self._schedule()

    def _next(self) -> Reader:
        group, readers = self.waiting.popitem(last=False)
        reader = readers.popleft()
        if readers:
            self.waiting[group] = readers
        return reader
