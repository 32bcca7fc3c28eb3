"""Fairness: a client with many connections or expensive requests delays itself more than others."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

import pytest

from tiltyard.serving.compute import fair_queue
from tiltyard.serving.compute.fair_queue import FairQueue
from tiltyard.serving.http.admission import READS_PER_TURN, RoundRobin


def test_client_with_the_least_used_time_is_next() -> None:
    """The client that used the least time is next; used time decays."""
    queue = FairQueue[int](100, 100)
    for number in range(6):
        assert queue.put("ab"[number % 2], number) is None
    queue.charge("a", 1.0)
    assert [queue.take()[0] for _ in range(3)] == ["b", "b", "b"]
    assert [queue.take() for _ in range(3)] == [("a", 0), ("a", 2), ("a", 4)]
    assert not queue


def test_used_time_decays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Used time is halved every ten seconds, and only the clients that used most are remembered."""
    now = [0.0]
    monkeypatch.setattr("tiltyard.serving.compute.fair_queue.time.monotonic", lambda: now[0])
    queue = FairQueue[int](100, 100)
    queue.charge("a", 8.0)
    queue.charge("b", 1.5)
    now[0] += 30.0
    queue.charge("b", 0.9)
    for client in "ab":
        queue.put(client, 1)
    assert queue.take()[0] == "a"
    for number in range(2 * fair_queue.MAX_CLIENTS):
        queue.charge(f"c{number}", 0.001)
    assert len(queue.used) == fair_queue.MAX_CLIENTS
    assert "b" in queue.used


def test_full_queue_drops_an_item_of_the_largest_client() -> None:
    """In a full queue, the last item of the largest client is dropped for a smaller one."""
    queue = FairQueue[str](6, 4)
    for number in range(4):
        assert queue.put("many", f"many {number}") is None
    assert queue.put("many", "one more") == "one more"
    assert queue.put("some", "some 0") is None
    assert queue.put("some", "some 1") is None
    assert queue.put("new", "new 0") == "many 3"
    assert queue.put("new", "new 1") == "many 2"
    assert queue.put("late", "late 0") == "many 1"
    assert queue.put("late", "late 1") == "late 1"
    assert len(queue) == 6
    assert sorted(queue.clear()) == ["late 0", "many 0", "new 0", "new 1", "some 0", "some 1"]


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
