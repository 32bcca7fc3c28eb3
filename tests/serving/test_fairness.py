"""Fairness: a client with many connections or expensive requests delays itself more than others."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import time
from collections import Counter
from collections.abc import Hashable

import pytest
from raw_http import USUAL_REQUEST, connect, serve_raw
from starlette.applications import Starlette

from tiltyard.serving.compute import fair_queue
from tiltyard.serving.compute.fair_queue import FairQueue
from tiltyard.serving.http import connection as http_connection
from tiltyard.serving.http.admission import FREE_TURNS, READS_PER_TURN, Reader, RoundRobin
from tiltyard.serving.http.fast_protocol import FastPathProtocol


def test_client_with_the_least_used_time_is_next() -> None:
    """The client that used the least time is next; used time decays."""
    queue = FairQueue[int](100, 100)
    for number in range(6):
        assert queue.put(("ab"[number % 2],), number) is None
    queue.charge(("a",), 1.0)
    assert [queue.take()[0] for _ in range(3)] == [("b",)] * 3
    assert [queue.take() for _ in range(3)] == [(("a",), 0), (("a",), 2), (("a",), 4)]
    assert not queue


def test_used_time_decays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Used time is halved every ten seconds, and only the clients that used most are remembered."""
    now = [0.0]
    monkeypatch.setattr("tiltyard.serving.compute.fair_queue.time.monotonic", lambda: now[0])
    queue = FairQueue[int](100, 100)
    queue.charge(("a",), 8.0)
    queue.charge(("b",), 1.5)
    now[0] += 30.0
    queue.charge(("b",), 0.9)
    for client in "ab":
        queue.put((client,), 1)
    assert queue.take()[0] == ("a",)
    for number in range(3 * fair_queue.MAX_REMEMBERED):
        queue.charge((f"c{number}",), 0.001)
    assert len(queue.used) <= 2 * fair_queue.MAX_REMEMBERED
    assert ("b",) in queue.used


def test_full_queue_drops_an_item_of_the_largest_client() -> None:
    """In a full queue, the last item of the largest client is dropped for a smaller one."""
    queue = FairQueue[str](6, 4)
    for number in range(4):
        assert queue.put(("many",), f"many {number}") is None
    assert queue.put(("many",), "one more") == "one more"
    assert queue.put(("some",), "some 0") is None
    assert queue.put(("some",), "some 1") is None
    assert queue.put(("new",), "new 0") == "many 3"
    assert queue.put(("new",), "new 1") == "many 2"
    assert queue.put(("late",), "late 0") == "many 1"
    assert queue.put(("late",), "late 1") == "late 1"
    assert len(queue) == 6
    assert sorted(queue.clear()) == ["late 0", "many 0", "new 0", "new 1", "some 0", "some 1"]


def served(queue: FairQueue[str], seconds: dict[str, float], steps: int) -> list[str]:
    """Take items, charge their seconds by the first word, and put them back; return the words."""
    order = []
    for _ in range(steps):
        flow, item = queue.take()
        order.append(item)
        queue.charge(flow, seconds[item])
        queue.put(flow, item)
    return order


def test_kinds_of_work_of_one_client_share_its_time() -> None:
    """A few requests of one kind do not wait for many of another kind, whichever of both is the costly one."""
    for flood, few in ((0.05, 0.003), (0.003, 0.05)):
        queue, seconds = FairQueue[str](100, 100), {"flood": flood, "few": few}
        for connection in range(30):
            queue.put(("a", "sample", str(connection)), "flood")
        served(queue, seconds, 200)
        queue.put(("a", "predict", "x"), "few")
        assert served(queue, seconds, 1) == ["few"]


def test_connections_of_one_client_share_its_time() -> None:
    """A connection that seldom sends is next, also if others are opened for a single request each."""
    queue = FairQueue[str](100, 100)
    for number in range(300):
        queue.put(("a", "predict", f"new {number}"), "flood")
        if number >= 30:
            queue.charge(queue.take()[0], 0.05)
    queue.charge(("a", "predict", "x"), 0.003)
    queue.put(("a", "predict", "x"), "few")
    assert queue.take()[1] == "few"
    queue.charge(("a", "predict", "busy"), 5.0)
    queue.put(("a", "predict", "busy"), "busy")
    assert queue.take()[1] == "flood"


def test_full_share_of_a_client_has_room_for_its_other_work() -> None:
    """The last item of the flow that used most is dropped for one that used less; others are refused."""
    queue = FairQueue[str](100, 4)
    for number in range(4):
        assert queue.put(("a", "sample", str(number)), f"sample {number}") is None
    assert queue.put(("a", "sample", "5"), "one more") == "one more"
    for number in range(4):
        queue.charge(("a", "sample", str(number)), 1.0 + number)
    assert queue.put(("a", "predict", "x"), "predict") == "sample 3"
    assert queue.put(("a", "sample", "3"), "again") == "again"
    assert len(queue) == 4


def test_work_that_has_not_begun_does_not_refuse_other_work_of_its_client() -> None:
    """The kind of work with the most waiting items loses one, even if it has used no time yet."""
    queue = FairQueue[str](100, 4)
    queue.charge(("a", "predict", "x"), 1.0)
    for number in range(4):
        queue.put(("a", "sample", str(number)), "sample")
    assert queue.put(("a", "predict", "x"), "predict") == "sample"
    assert queue.put(("a", "predict", "y"), "predict") == "sample"
    assert queue.put(("a", "predict", "z"), "one more") == "one more"


def test_clients_take_turns_by_address() -> None:
    """A client with many connections has no more turns than others, and the event loop is not blocked."""
    order: list[str] = []
    rounds: list[int] = []

    class Connection:
        def __init__(self, address: str, left: int) -> None:
            self.address, self.left = address, left

        def read(self) -> None:
            order.append(self.address)
            self.left -= 1
            if self.left:
                turns.wait(self.address, self)

    async def record_rounds() -> None:
        for _ in range(100):
            rounds.append(len(order))
            await asyncio.sleep(0)

    turns = RoundRobin()

    async def main() -> None:
        for _ in range(50):
            turns.wait("many", Connection("many", 2))
        turns.wait("one", Connection("one", 20))
        await record_rounds()

    asyncio.run(main())
    assert Counter(order) == {"many": 100, "one": 20}
    assert Counter(order[:40]) == {"many": 20, "one": 20}
    assert max(after - before for before, after in itertools.pairwise(rounds)) <= READS_PER_TURN


def test_request_does_not_wait_for_all_that_arrive_with_it(app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of 60 connections arrive while the event loop is busy, then one of another client: it is soon read."""
    order: list[str] = []
    read = FastPathProtocol.read

    def recording_read(self: FastPathProtocol) -> None:
        if not order:  # the loop is busy until all requests have arrived
            time.sleep(0.3)
        order.append(self.client[0] if self.client else "")
        read(self)

    with serve_raw(app) as port, connect(port) as other, contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)))
            for _ in range(60)
        ]
        for connection in [*connections, other]:
            connection.sendall(USUAL_REQUEST)
            assert connection.recv(1 << 16)
        monkeypatch.setattr(FastPathProtocol, "read", recording_read)
        for connection in [*connections, other]:
            connection.sendall(USUAL_REQUEST)
        assert other.recv(1 << 16).startswith(b"HTTP/1.1 200")
        assert order.index("127.0.0.1") <= FREE_TURNS + 2 * READS_PER_TURN


def test_client_that_pauses_does_not_wait_for_others_of_its_address(
    app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that paused before a request are a group of their own, which takes turns with the rest."""
    monkeypatch.setattr(http_connection, "PAUSE_SECONDS", 1.0)
    groups: list[Hashable] = []
    monkeypatch.setattr(RoundRobin, "has_free_turn", lambda *_: False)
    wait = RoundRobin.wait

    def recording_wait(self: RoundRobin, group: Hashable, reader: Reader) -> None:
        groups.append(group)
        wait(self, group, reader)

    monkeypatch.setattr(RoundRobin, "wait", recording_wait)
    with serve_raw(app) as port, connect(port) as client:
        for pause in (0.0, 0.0, 1.2, 0.0):
            time.sleep(pause)
            client.sendall(USUAL_REQUEST)
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
    assert groups == [("127.0.0.1", paused) for paused in (False, False, True, False)]


def test_failing_connection_does_not_stop_others() -> None:
    """An error in one connection does not stop the turns of the others."""
    results: list[str] = []

    class Bad:
        def read(self) -> None:
            raise ValueError("a defect")

    class Good:
        def read(self) -> None:
            results.append("good")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: results.append(str(context["exception"])))
        turns = RoundRobin()
        turns.wait("a", Bad())
        turns.wait("b", Good())
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert results == ["a defect", "good"]
