"""Work in threads: results in order, errors passed on, and bounded memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from tiltyard.runtime import threads


def test_results_come_in_order() -> None:
    """The first item takes longest."""

    def wait(item: int) -> int:
        time.sleep(0.05 if item == 0 else 0)
        return -item

    assert [*threads.ordered(wait, range(20))] == [-item for item in range(20)]


def test_only_a_few_items_are_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a result is used, as many more items as there are cores are taken."""
    monkeypatch.setattr(threads, "cores", lambda: 2)
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(50):
            taken.append(item)
            yield item

    results = threads.ordered(lambda item: item, items())
    assert next(results) == 0
    assert len(taken) == 3
    results.close()  # type: ignore[attr-defined]


def test_next_item_is_made_while_one_is_used() -> None:
    """Only one item is made ahead, by another thread."""
    made: list[tuple[int, int]] = []

    def items() -> Iterator[int]:
        for item in range(4):
            made.append((item, threading.get_ident()))
            yield item

    with threads.ahead(items()) as coming:
        assert next(coming) == 0
        assert next(coming) == 1
        time.sleep(0.05)
        assert [item for item, _ in made] == [0, 1, 2]
        assert [*coming] == [2, 3]
    assert threading.get_ident() not in {thread for _, thread in made}


def test_errors_are_raised_where_the_result_is_used() -> None:
    """An error of the source, and one of the function, end the iteration."""

    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no more rows")

    with pytest.raises(ValueError, match="no more rows"), threads.ahead(items()) as coming:
        assert [next(coming), next(coming)] == [1]
    with pytest.raises(ZeroDivisionError):
        list(threads.ordered(lambda item: 1 // item, [1, 0, 1]))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs processor affinity")
def test_cores_are_those_that_the_process_may_use() -> None:
    """In a container or under taskset, fewer cores than the machine has may be usable."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert threads.cores() == 1
    finally:
        os.sched_setaffinity(0, before)
