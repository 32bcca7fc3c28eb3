"""The supervisor of several workers, which server.py starts: replaces those that die, and ends them.

uvicorn's own one ends the service if a worker cannot start. That is right at the first start, where nothing works yet;
but once the service is up, what keeps one worker from starting again must not end those that answer.
"""

from __future__ import annotations

import contextlib
import logging
import time
from socket import socket

from uvicorn.config import STARTUP_FAILURE, Config
from uvicorn.supervisors.multiprocess import Multiprocess, Process

MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = (
    1.0,
    30.0,
)  # seconds until a worker that did not start is started again: they double each time
MAX_START_SECONDS = 300.0  # seconds that a worker may take to load its models before it counts as stuck

log = logging.getLogger("bentoml.tiltyard")


class Supervisor(Multiprocess):
    """Workers that share a socket."""

    was_ready = False  # whether a worker has ever been ready
    failures = 0  # starts in a row that came to nothing

    def __init__(self, config: Config, sockets: list[socket]) -> None:
        super().__init__(config, sockets)
        self.loading: dict[Process, float] = {}  # since when
        self.ready: set[Process] = set()
        self.restart_at: dict[Process, float] = {}  # dead workers, and when another is started in their place
        self.counted: set[int] = set()  # workers whose figures are in /metrics

    @property
    def failed(self) -> bool:
        """Whether the service could not be started at all."""
        return not self.was_ready and any(process.exitcode == STARTUP_FAILURE for process in self.processes)

    def keep_subprocess_alive(self) -> None:
        """Look at each worker once, and start another in the place of one that is dead or hangs."""
        for place, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if process in self.restart_at:
                if time.monotonic() >= self.restart_at[process]:
                    self._restart(place)
            elif not self._is_healthy(process):
                self._remove(process)
        self._drop_dead_metrics()

    def _is_healthy(self, process: Process) -> bool:
        """Return whether a worker answers, or is still loading and may be."""
        if not process.process.is_alive():
            return False
        if process in self.ready:
            return bool(process.ping(self.config.timeout_worker_healthcheck))
        begun = self.loading.setdefault(process, time.monotonic())
        if not process.is_ready(timeout=0.1):
            return time.monotonic() - begun < MAX_START_SECONDS
        with contextlib.suppress(OSError, EOFError):
            while process.parent_conn.poll(0):  # answers to what it was asked while it was loading
                process.parent_conn.recv()
        del self.loading[process]
        self.ready.add(process)
        self.was_ready, self.failures = True, 0
        return True

    def _remove(self, process: Process) -> None:
        """Forget a worker that is dead or hangs; decide when another one is started, if at all."""
        process.kill()
        process.join()
        self.loading.pop(process, None)
        failed = process not in self.ready
        self.ready.discard(process)
        if process.exitcode == STARTUP_FAILURE and not self.was_ready:
            self.should_exit.set()
            return
        wait = min(MIN_RETRY_SECONDS * 2**self.failures, MAX_RETRY_SECONDS) if failed else 0.0
        self.failures += failed
        self.restart_at[process] = time.monotonic() + wait
        if failed:
            log.error("a worker did not start; it is started again in %g seconds, and the others answer on", wait)

    def _restart(self, place: int) -> None:
        """Start another worker in the place of a dead one; if even that fails, try again later."""
        dead = self.processes[place]
        try:
            process = Process(self.config, self.sockets)
            process.start()
        except OSError as error:
            self.restart_at[dead] = time.monotonic() + MAX_RETRY_SECONDS
            log.error("no worker can be started: %s; it is tried again in %g seconds", error, MAX_RETRY_SECONDS)  # noqa: TRY400
            return
        del self.restart_at[dead]
        self.processes[place] = process

    def _drop_dead_metrics(self) -> None:
        """Take what dead workers set out of /metrics: what is inside them, and when they last looked for champions."""
        from prometheus_client import multiprocess

        alive = {process.pid for process in self.processes if process.pid and process not in self.restart_at}
        for gone in self.counted - alive:
            multiprocess.mark_process_dead(gone)  # type: ignore[no-untyped-call]
        self.counted = alive
