"""Background threads survive exceptions, and files that could not be started are removed."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.recording import drift_gauges
from tiltyard.serving.recording.drift_gauges import DriftGauges
from tiltyard.serving.traffic.append_log import AppendLog, list_files, read_lines
from tiltyard.serving.traffic.queue import BoundedQueue

RAISED = [OSError(errno.EMFILE, "no more files"), MemoryError(), SystemExit(3), KeyboardInterrupt()]


def wait_until_processed(backlog: BoundedQueue[int]) -> None:
    """Wait until all items are processed, with a timeout in case the thread has died."""
    deadline = time.monotonic() + 20
    while backlog.waiting.unfinished_tasks:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_queue_continues_after_a_failed_item(error: BaseException) -> None:
    """A failed item is counted and its bytes are released, and the next item is processed."""

    def work(item: int) -> str:
        if item == 0:
            raise error
        return "done"

    backlog: BoundedQueue[int] = BoundedQueue("test", work, lambda *_: None)
    for item in (0, 1):
        assert backlog.put(item, 100)
    wait_until_processed(backlog)
    assert (backlog.counts, backlog.held_bytes) == ({"failed": 1, "done": 1}, 0)


def test_queue_continues_after_a_failed_counter(caplog: pytest.LogCaptureFixture) -> None:
    """A failing counter stops neither the thread nor a request."""

    def count(_: int, __: str) -> None:
        raise OSError(errno.EMFILE, "no more files")

    backlog: BoundedQueue[int] = BoundedQueue("test", lambda _: "done", count)
    backlog.max_bytes = 10
    assert backlog.put(1, 10)
    wait_until_processed(backlog)
    assert not backlog.put(2, 11)
    assert backlog.put(3, 10)
    wait_until_processed(backlog)
    assert backlog.counts == {"done": 2, "dropped": 1}
    assert caplog.text.count("no more files") == 1


def test_queue_works_without_permission_to_lower_its_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system forbids changing priorities, the thread works with its normal priority."""

    def forbidden(*_: int) -> None:
        raise PermissionError(errno.EPERM, "not here")

    monkeypatch.setattr(os, "setpriority", forbidden)
    backlog: BoundedQueue[int] = BoundedQueue("test", lambda _: "done", lambda *_: None)
    backlog.put(1, 1)
    wait_until_processed(backlog)
    assert backlog.counts == {"done": 1}


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_drift_is_measured_again_after_a_failure(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed measurement, the next one is made."""
    monkeypatch.setattr(drift_gauges, "MEASURE_SECONDS", 0.001)
    gauges, measured, turns = DriftGauges(lambda *_: None), threading.Event(), iter([error])

    def measure() -> None:
        if (raised := next(turns, None)) is not None:
            raise raised
        measured.set()
        monkeypatch.setattr(drift_gauges, "MEASURE_SECONDS", 1e6)

    monkeypatch.setattr(gauges, "measure", measure)
    gauges.start()
    assert measured.wait(20)


def test_failure_in_drift_does_not_prevent_recording(caplog: pytest.LogCaptureFixture) -> None:
    """A failure in drift is logged at most once a minute, and the prediction is recorded."""
    gauges = DriftGauges(lambda *_: None)
    model = cast("LoadedModel", SimpleNamespace(task="iris", reference={"a": 1}))
    for _ in range(3):
        gauges.observe(lambda: model, [{}] * 100)
    assert caplog.text.count("drift: AttributeError") == 1


@pytest.mark.parametrize(
    "step", ["tiltyard.serving.traffic.append_log.fcntl.flock", "tiltyard.serving.traffic.append_log.files.sync_folder"]
)
def test_log_file_that_cannot_be_started_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """A file that could not be started is removed, and the next line starts a new file."""

    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, "no more files")

    spool = AppendLog(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(step, fail)
        with pytest.raises(OSError, match="no more files"):
            spool.add(b"lost")
    assert [*tmp_path.iterdir()] == []
    assert spool.add(b"kept")
    ((path, _),) = list_files(tmp_path)
    assert read_lines(path) == [b"kept"]
