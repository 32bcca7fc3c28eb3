"""Deadlines: limit the time of a block of work, which checks the deadline before each long step."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import TypeVar

Step = TypeVar("Step")
_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)  # by the monotonic clock, common to processes


class OutOfTimeError(Exception):
    """The work cannot be done in time; `seconds` is an estimate of the time that it still needs, 0 if unknown."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@contextlib.contextmanager
def limit_until(moment: float) -> Iterator[None]:
    """Set the deadline of the work in this block."""
    token = _deadline.set(moment)
    try:
        yield
    finally:
        _deadline.reset(token)


def is_limited() -> bool:
    """Return whether the current work has a deadline."""
    return _deadline.get() < math.inf


def stepwise(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield steps of about equal duration; raise OutOfTimeError as soon as the estimated end is after the deadline."""
    start = time.monotonic()
    for done, step in enumerate(steps):
        check((time.monotonic() - start) / done * (len(steps) - done) if done else 0.0)
        yield step


def check(seconds: float = 0.0) -> None:
    """Raise OutOfTimeError if work of this many seconds would end after the deadline."""
    if time.monotonic() + seconds > _deadline.get():
        raise OutOfTimeError(seconds)
