"""Supervisor of workers: when the service ends, when a worker is restarted, and whose gauges are kept."""

from __future__ import annotations

import multiprocessing
import socket
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.config import STARTUP_FAILURE

from tiltyard.serving.http import supervisor
from tiltyard.serving.http.supervisor import Supervisor

READY, LOADING, FAILED, KILLED = "ready", "loading", STARTUP_FAILURE, -9


class Worker:
    """A worker process in a given state; pings which it answered late can wait in its pipe."""

    def __init__(self, pid: int, state: str | int, unread: int = 0) -> None:
        self.pid, self.state, self.process = pid, state, self
        self.parent_conn, self.child_conn = multiprocessing.Pipe()
        for _ in range(unread):
            self.child_conn.send(False)

    @property
    def exitcode(self) -> int | None:
        """Return the exit status of a worker that has ended."""
        return self.state if isinstance(self.state, int) else None

    def is_alive(self) -> bool:
        """Return whether the worker has not ended."""
        return self.exitcode is None

    def is_ready(self, timeout: float) -> bool:
        """Send a ping; return the first reply in the pipe."""
        self.child_conn.send(self.state == READY)
        return bool(self.parent_conn.recv())

    def kill(self) -> None:
        """End the worker."""
        self.state = KILLED if self.exitcode is None else self.state

    def join(self) -> None:
        """Wait for nothing."""

    def start(self) -> None:
        """Start nothing."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the metrics of all workers."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    return tmp_path


def supervise(monkeypatch: pytest.MonkeyPatch, *workers: Worker) -> Supervisor:
    """Return a supervisor that has started these workers."""
    left: list[Any] = list(workers)
    for module in (supervisor, uvicorn.supervisors.multiprocess):
        monkeypatch.setattr(module, "Process", lambda config, sockets: left.pop(0))  # noqa: ARG005
    monkeypatch.setattr("uvicorn.supervisors.multiprocess.SIGNALS", {})
    made = Supervisor(uvicorn.Config("app", workers=2, log_config=None), list[socket.socket]())
    made.init_processes()
    return made


def _restart_all_now(made: Supervisor) -> None:
    made.restart_at = dict.fromkeys(made.restart_at, 0.0)
    made.keep_subprocess_alive()


def test_service_ends_if_a_worker_cannot_start_and_none_was_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first start that fails ends the service, while the other worker is still loading."""
    made = supervise(monkeypatch, Worker(1, FAILED), Worker(2, LOADING))
    made.keep_subprocess_alive()
    assert made.should_exit.is_set()
    assert made.failed


@pytest.mark.parametrize("unread", [0, 3])
def test_failed_start_does_not_end_a_worker_that_became_ready(monkeypatch: pytest.MonkeyPatch, unread: int) -> None:
    """A worker that became ready since its last check is asked before the service ends; old replies do not count."""
    made = supervise(monkeypatch, Worker(1, FAILED), Worker(2, READY, unread))
    made.keep_subprocess_alive()
    assert not made.should_exit.is_set()


def test_failed_restart_does_not_end_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker killed before it was found ready is replaced; a failed start of its replacement is retried."""
    made = supervise(monkeypatch, Worker(1, KILLED), Worker(2, LOADING), Worker(3, FAILED), Worker(4, READY))
    made.keep_subprocess_alive()
    _restart_all_now(made)
    made.keep_subprocess_alive()
    assert not made.should_exit.is_set()
    _restart_all_now(made)
    assert [process.pid for process in made.processes] == [4, 2]


def test_gauges_of_a_worker_that_dies_before_its_first_check_are_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gauges of a worker that died before it was checked once are removed; those of others and all counts stay."""
    for name in ("gauge_livemin_1.db", "gauge_livesum_1.db", "gauge_livemin_2.db", "counter_1.db"):
        (folder / name).touch()
    made = supervise(monkeypatch, Worker(1, KILLED), Worker(2, LOADING))
    made.keep_subprocess_alive()
    assert {path.name for path in folder.iterdir()} == {"gauge_livemin_2.db", "counter_1.db"}
