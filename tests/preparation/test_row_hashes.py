"""Hashes of rows by worker processes: the same keys, whatever happens to the workers, and none is left behind."""

from __future__ import annotations

import io
import os
import signal

import numpy as np
import psutil
import pytest

from tiltyard.arrays import Coded, ParsedRows
from tiltyard.preparation import hash_worker, row_hashes
from tiltyard.preparation.row_hashes import hashing, row_keys
from tiltyard.runtime import threads


def make_rows(count: int = 10_000) -> ParsedRows:
    """Return rows of numbers, dates and texts of different lengths."""
    rng = np.random.default_rng(0)
    names = np.array(["", "Ulm", "New York", "Łódź"])
    return {
        "number": rng.random(count),
        "day": np.datetime64("2024-01-01", "us") + rng.integers(0, 1000, count),
        "town": Coded(names, rng.integers(0, 4, count)),
        "word": np.array([b"a", b"bcd", b""])[rng.integers(0, 3, count)],
    }


@pytest.fixture(autouse=True)
def _workers_hash_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_hashes, "FEW_ROWS", 10)
    monkeypatch.setattr(threads, "cores", lambda: 4)


def test_workers_return_the_same_keys() -> None:
    """Several blocks and several chunks are hashed in any order, and returned in theirs."""
    with hashing(3) as keys_of:
        later = [keys_of(make_rows(count)) for count in (10_000, 5, 20_000)]
        found = [keys() for keys in later]
    assert [keys.tolist() for keys in found] == [
        row_keys(make_rows(count), 3).tolist() for count in (10_000, 5, 20_000)
    ]


def test_killed_worker_changes_no_key() -> None:
    """Blocks of a worker that was killed are hashed in this process."""
    with hashing(0) as keys_of:
        keys_of(make_rows())()
        (one, _) = children()
        os.kill(one, signal.SIGKILL)
        assert keys_of(make_rows(50_000))().tolist() == row_keys(make_rows(50_000), 0).tolist()
    assert children() == []


def test_workers_end_with_an_error() -> None:
    """An error while rows are read ends the workers."""

    def fail() -> None:
        with hashing(0) as keys_of:
            keys_of(make_rows())
            raise ValueError("row 7")

    with pytest.raises(ValueError, match="row 7"):
        fail()
    assert children() == []


def children() -> list[int]:
    """Return the running worker processes of this one."""
    return [
        process.pid
        for process in psutil.Process().children()
        if process.status() != psutil.STATUS_ZOMBIE and any("hash_worker" in word for word in process.cmdline())
    ]


def test_worker_ends_when_the_pipe_closes() -> None:
    """A worker answers whole requests, and ignores one that its parent did not finish."""
    head = hash_worker.HEAD.pack(2, 3)
    answers = io.BytesIO()
    hash_worker.answer(io.BytesIO(head + np.array([1, 2], np.uint32).tobytes() + b"abc" + head[:5]), answers)
    assert answers.getvalue() == hash_worker.hash_rows(b"abc", [1, 2])
