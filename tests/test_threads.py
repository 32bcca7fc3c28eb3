"""Threads: results in order, errors at their place, few items at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tiltyard import threads


def test_results_are_in_the_order_of_the_items() -> None:
    """Also if a later item is ready earlier."""

    def slow_first(item: int) -> int:
        time.sleep(0.02 if item == 0 else 0)
        return item * item

    assert [*threads.in_order(slow_first, range(20))] == [item * item for item in range(20)]


@pytest.mark.parametrize("cores", [1, 2])
def test_an_error_is_raised_at_its_place(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results before it are returned, and items far behind it are not computed."""
    monkeypatch.setattr(threads, "cores", lambda: cores)
    found: list[float] = []
    computed: list[int] = []

    def divide(item: int) -> float:
        computed.append(item)
        return 1 / (5 - item)

    with pytest.raises(ZeroDivisionError):
        found.extend(threads.in_order(divide, range(1000)))
    assert found == [1 / (5 - item) for item in range(5)]
    assert max(computed) < 20


def test_items_are_taken_when_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory holds a few items, not all of them."""
    monkeypatch.setattr(threads, "cores", lambda: 2)
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = threads.in_order(lambda item: item, items())
    assert (next(results), len(taken)) == (0, threads.AHEAD * 2 + 1)
    assert [*results] == [*range(1, 100)]
