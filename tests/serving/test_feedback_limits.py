"""Rate limits: token buckets refill, and inactive senders are dropped."""

from __future__ import annotations

import pytest

from tiltyard.serving.traffic.feedback_limits import TokenBucket, TokenBuckets


def test_bucket_refills_over_time() -> None:
    """A bucket refills up to its burst, and a full one accepts a single larger cost."""
    clock = [0.0]
    limit = TokenBucket(10, 2, clock=lambda: clock[0])
    assert limit.wait(10) == 0
    limit.take(10)
    assert limit.wait(4) == 2
    clock[0] += 2
    assert (limit.wait(4), limit.wait(6)) == (0, 1)
    clock[0] += 1e6
    assert limit.wait(100) == 0
    limit.take(100)
    assert limit.wait(2) == 1


def test_number_of_remembered_senders_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least recently active sender is dropped."""
    monkeypatch.setattr("tiltyard.serving.traffic.feedback_limits.MAX_SENDERS", 3)
    limits = TokenBuckets((10, 1), clock=lambda: 0.0)
    limits.of("a")[0].take(7)
    for name in ("b", "c", "a", "d", "e"):
        limits.of(name)
    assert sorted(limits.senders) == ["a", "d", "e"]
    assert limits.of("a")[0].left == 3
