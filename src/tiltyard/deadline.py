"""The moment by which the work in hand must be done. Long work asks at each step, and before it begins a long one."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import TypeVar

Step = TypeVar("Step")
_until: ContextVar[float] = ContextVar("until", default=math.inf)  # by the monotonic clock, which processes share


class OutOfTimeError(Exception):
    """The work cannot be done in time; `seconds` is what it would still take, as far as that is known."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@contextlib.contextmanager
def limit_until(moment: float) -> Iterator[None]:
    """Limit the work in this block."""
    token = _until.set(moment)
    try:
        yield
    finally:
        _until.reset(token)


def is_limited() -> bool:
    """Whether the work in hand has a limit."""
    return _until.get() < math.inf


def stepwise(steps: Sequence[Step]) -> Iterator[Step]:
    """Go through steps that take about as long as each other, and stop as soon as the last would end too late."""
    begun = time.monotonic()
    for done, step in enumerate(steps):
        check((time.monotonic() - begun) / done * (len(steps) - done) if done else 0.0)
        yield step


def check(seconds: float = 0.0) -> None:
    """Stop here if work of so many seconds would end too late."""
    if time.monotonic() + seconds > _until.get():
        raise OutOfTimeError(seconds)
