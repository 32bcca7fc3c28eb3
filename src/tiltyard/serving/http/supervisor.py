"""Supervisor of several workers: starts them, restarts those that die or hang, and ends them.

uvicorn's supervisor ends the service if a worker cannot start. That is right at the first start; but once the service
is up, a failing restart of one worker must not end the others.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path
from socket import socket

from uvicorn.config import STARTUP_FAILURE, Config
from uvicorn.supervisors.multiprocess import Multiprocess, Process

MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 1.0, 30.0  # before a failed start is retried: doubled each time
MAX_START_SECONDS = 300.0  # for a worker to load its models before it counts as hanging

log = logging.getLogger("bentoml.tiltyard")


class Supervisor(Multiprocess):
    """Worker processes that share a listening socket."""

    was_ready = False  # whether a worker has ever been ready
    failures = 0  # consecutive failed starts

    def __init__(self, config: Config, sockets: list[socket]) -> None:
        super().__init__(config, sockets)
        self.loading: dict[Process, float] = {}  # start times of workers that load
        self.ready: set[Process] = set()
        self.restart_at: dict[Process, float] = {}  # dead workers, and when they are restarted
        self.first: set[Process] = set()  # workers of the first start

    def init_processes(self) -> None:
        """Start the workers."""
        super().init_processes()
        self.first = set(self.processes)

    @property
    def failed(self) -> bool:
        """Whether no worker could ever start."""
        return not self.was_ready and any(process.exitcode == STARTUP_FAILURE for process in self.processes)

    def keep_subprocess_alive(self) -> None:
        """Check each worker once; restart those that are dead or hang."""
        for index, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if process in self.restart_at:
                if time.monotonic() >= self.restart_at[process]:
                    self._restart(index)
            elif not self._is_healthy(process):
                self._remove(process)
        self._drop_dead_metrics()

    def _is_healthy(self, process: Process) -> bool:
        """Return whether a worker responds to a ping, or is still within its time to load."""
        if not process.process.is_alive():
            return False
        if process in self.ready:
            return bool(process.ping(self.config.timeout_worker_healthcheck))
        start = self.loading.setdefault(process, time.monotonic())
        if not process.is_ready(timeout=0.1):
            return time.monotonic() - start < MAX_START_SECONDS
        _drop_replies(process)
        del self.loading[process]
        self.ready.add(process)
        self.was_ready, self.failures = True, 0
        return True

    def _remove(self, process: Process) -> None:
        """Kill a dead or hanging worker, and schedule its restart unless the service never started."""
        process.kill()
        process.join()
        self.loading.pop(process, None)
        failed = process not in self.ready
        self.ready.discard(process)
        if process.exitcode == STARTUP_FAILURE and process in self.first and not self._was_ready():
            self.should_exit.set()
            return
        wait = min(MIN_RETRY_SECONDS * 2**self.failures, MAX_RETRY_SECONDS) if failed else 0.0
        self.failures += failed
        self.restart_at[process] = time.monotonic() + wait
        if failed:
            log.error("a worker did not start; retrying in %g seconds, while the others serve requests", wait)

    def _was_ready(self) -> bool:
        """Return whether a worker has ever been ready; ask the others, which may be ready since their last check."""
        for process in self.processes:
            if not self.was_ready and process not in self.restart_at and process.process.is_alive():
                _drop_replies(process)
                self.was_ready = process.is_ready(timeout=1)
        return self.was_ready

    def _restart(self, index: int) -> None:
        """Restart a dead worker; retry later if no process can be started."""
        dead = self.processes[index]
        try:
            process = Process(self.config, self.sockets)
            process.start()
        except OSError as error:
            self.restart_at[dead] = time.monotonic() + MAX_RETRY_SECONDS
            log.error("no worker can be started: %s; retrying in %g seconds", error, MAX_RETRY_SECONDS)  # noqa: TRY400
            return
        del self.restart_at[dead]
        self.processes[index] = process

    def _drop_dead_metrics(self) -> None:
        """Remove the gauges of dead workers from /metrics.

        Their files are looked at, since a worker may write them and die before it was checked once.
        """
        from prometheus_client import multiprocess

        alive = {process.pid for process in self.processes if process not in self.restart_at}
        paths = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("gauge_live*_*.db")
        for pid in {int(path.stem.rpartition("_")[2]) for path in paths} - alive:
            multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _drop_replies(process: Process) -> None:
    """Drop replies to pings that were sent while a worker was loading."""
    with contextlib.suppress(OSError, EOFError):
        while process.parent_conn.poll(0):
            process.parent_conn.recv()
