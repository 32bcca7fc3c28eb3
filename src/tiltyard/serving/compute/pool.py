"""Processes beside the service for what would hold it up: long work, and formats with native parsers.

There are two lanes. The quick one does what takes a moment; what turns out to take longer goes to the other. So a
picture need not wait until somebody's text of 2,000 characters is written. A process is started when it is first needed
and ended when its work does not stop in time, and its place is free again only then.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from tiltyard.errors import RequestError
from tiltyard.serving.compute import process as compute_process
from tiltyard.serving.compute.fair_queue import FairQueue
from tiltyard.serving.compute.process import GRACE_SECONDS, ErrorResult, Job, NeedsMoreTime, Result
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests.message import RequestMessage, ResponseMessage

QUICK_SECONDS = 0.1  # seconds of work in the quick lane
MAX_QUICK_BYTES = 262_144  # of a body; larger ones take longer than that to read
MAX_JOBS_PER_CLIENT = 64  # jobs of one client that may wait in a lane
QUEUE_DIVISOR = 4  # of the places for requests, the part that jobs of a lane may take: others come in even if all wait
OVERRUN_SECONDS = 0.3  # seconds of a processor in which quick work may stop by itself: native code asks for no time
POLL_SECONDS = 0.1  # seconds between two looks at what was used
IDLE_SECONDS = 300.0  # seconds without work after which a process ends, and its memory is given back
SOCKET_TIMEOUT_SECONDS = 10  # seconds in which a process takes in or gives out what it is sent
SOURCE_FOLDER = Path(compute_process.__file__).resolve().parents[3]
CHILD_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}  # it forks
log = logging.getLogger("bentoml.tiltyard")


@dataclass(eq=False)
class _PendingJob:
    """A job, and where its result is awaited."""

    job: Job
    client: str
    done: Future[ResponseMessage] = field(default_factory=Future)

    def refuse(self, error: RequestError) -> None:
        """Answer whoever still waits."""
        with contextlib.suppress(InvalidStateError):
            self.done.set_exception(error)


class ComputePool:
    """The two lanes of one worker. It may be asked from any thread."""

    def __init__(self, seconds: float, places: int = 512) -> None:
        self.seconds = seconds
        self.long = _Lane("long", max(1, places // QUEUE_DIVISOR), self._finished)
        self.quick = _Lane("quick", max(1, places // QUEUE_DIVISOR), self._finished)

    def submit(
        self, model: LoadedModel, request: RequestMessage, client: str = "", *, record: bool = False
    ) -> Future[ResponseMessage]:
        """Begin to answer a request; the future fails with a RequestError if it is refused or takes too long."""
        if model.folder is None:
            raise ValueError(f"{model.task}: expected a model that was loaded from a package")
        quick = len(request.body) < MAX_QUICK_BYTES
        job = Job(
            str(model.folder),
            request,
            time.monotonic() + self.seconds,
            QUICK_SECONDS if quick else self.seconds,
            record,
        )
        wanted = _PendingJob(job, client)
        (self.quick if quick else self.long).put(wanted)
        return wanted.done

    def start(self) -> None:
        """Start the process of the quick lane, so that nobody has to wait until it has imported what it needs."""
        self.quick.start()

    def _finished(self, wanted: _PendingJob, result: Result) -> None:
        """Hand over a result, or the job to the long lane."""
        if isinstance(result, ResponseMessage):
            with contextlib.suppress(InvalidStateError):  # nobody waits any more
                wanted.done.set_result(result)
        elif isinstance(result, ErrorResult):
            wanted.refuse(RequestError(result.code, result.message, result.field, result.status))
        elif wanted.job.seconds < self.seconds and time.monotonic() + result.seconds < wanted.job.until:
            job = wanted.job
            longer = _PendingJob(Job(job.folder, job.request, job.until, self.seconds, job.record), wanted.client)
            longer.done = wanted.done
            self.long.put(longer)
        else:
            wanted.refuse(_timeout_error(self.seconds, result.seconds))

    def close(self) -> None:
        """End the processes, and refuse what still waits."""
        self.quick.close()
        self.long.close()


def _timeout_error(most: float, seconds: float) -> RequestError:
    about = f"; it would take about {seconds:.0f}" if seconds >= 1 else ""
    return RequestError("timeout", f"expected to be done in {most:g} seconds{about}", status=503)


class _Lane:
    """Jobs that wait, clients in turn, and the process that does them, looked after by a thread."""

    def __init__(self, name: str, most: int, finished: Callable[[_PendingJob, Result], None]) -> None:
        self.name, self.finished = name, finished
        self.waiting: FairQueue[_PendingJob] = FairQueue(most, MAX_JOBS_PER_CLIENT)
        self.changed = threading.Condition()
        self.thread: threading.Thread | None = None  # there is none before the first job, and when it is closed
        self.process: _Process | None = None
        self.spare: _Process | None = None  # that others need not wait for a start
        self.use_spare = False  # whether there is to be one: once a process had to be ended, others will
        self.always_on = False  # whether the process is there even if there is no work

    def put(self, wanted: _PendingJob) -> None:
        """Let a job wait for its turn; refuse it, or another, if too many wait."""
        with self.changed:
            dropped = self.waiting.put(wanted.client, wanted)
            self._begin()
            self.changed.notify_all()
        if dropped:
            dropped.refuse(RequestError("too_many_requests", "expected fewer long requests at a time", status=429))

    def start(self) -> None:
        """Start the process before there is work for it, and keep it where there is none."""
        with self.changed:
            self.always_on = True
            self._begin()

    def _begin(self) -> None:
        if not self.thread:
            self.thread = threading.Thread(target=self._run, name=f"compute {self.name}", daemon=True)
            self.thread.start()

    def close(self) -> None:
        """End the process, and refuse what waits."""
        with self.changed:
            thread, self.thread = self.thread, None
            left = self.waiting.clear()
            self.changed.notify_all()
        if process := self.process:
            process.process.kill()  # its thread sees that, whatever it waits for
        if thread:
            thread.join()
        for wanted in left:
            wanted.done.cancel()

    def _run(self) -> None:
        """Do one job after the other, until the lane is closed."""
        me = threading.current_thread()
        if self.always_on:
            self._start()
        while self.thread is me:
            wanted = self._next(me)
            if wanted and not wanted.done.cancelled():  # a client may have left, or been told that the time is up
                begun = time.monotonic()
                result = self._run_job(wanted.job)
                with self.changed:
                    self.waiting.charge(wanted.client, time.monotonic() - begun)
                self.finished(wanted, result)
                self._keep_spare()
        self._end()

    def _next(self, me: threading.Thread) -> _PendingJob | None:
        with self.changed:
            while not self.waiting and self.thread is me:
                if not self.changed.wait(IDLE_SECONDS) and not self.always_on:
                    self._end()
            if self.thread is not me:
                return None
            return self.waiting.take()[1]

    def _start(self) -> None:
        try:
            self.process = self.process or _Process()
        except OSError as error:  # it is tried again when it is needed
            log.warning("no process for long work can be started: %s", error)

    def _run_job(self, job: Job) -> Result:
        """Do a job; a second time if the process ended, which may have had another reason."""
        for _ in range(2):
            if time.monotonic() >= job.until or not self.thread:
                return NeedsMoreTime(0.0)
            self._start()
            if not self.process:
                return ErrorResult(
                    "not_available", "no process can be started for this request; try again later", "", 503
                )
            try:
                return self.process.do(job)
            except TimeoutError:
                log.warning("a request did not stop in time: its process is ended, and another takes its place")
                self._replace()
                return NeedsMoreTime(0.0)
            except (EOFError, OSError, ValueError) as error:
                log.warning("a request ended the process that worked on it: %s", error or type(error).__name__)
                self._replace()
        return ErrorResult(
            "not_processed", "expected a request that can be worked on: this one ended its process", "", 400
        )

    def _replace(self) -> None:
        """End the process; let the spare one take its place."""
        if self.process:
            self.process.end()
        self.process, self.spare, self.use_spare = self.spare, None, True

    def _keep_spare(self) -> None:
        """Start a spare process where one had to be ended, but not before there is a process that works."""
        if self.use_spare and self.process and not self.spare:
            with contextlib.suppress(OSError):
                self.spare = _Process()

    def _end(self) -> None:
        for process in (self.process, self.spare):
            if process:
                process.end()
        self.process, self.spare, self.use_spare = None, None, False


class _Process:
    """A running compute process, and the socket to it."""

    def __init__(self) -> None:
        ours, its = socket.socketpair()
        with its:
            for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):  # of a process that was stopped in the middle
                ours.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", SOCKET_TIMEOUT_SECONDS, 0))
            self.process = subprocess.Popen(
                [sys.executable, "-m", compute_process.__name__, str(its.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE_FOLDER), *sys.path]), **CHILD_ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
            )
        self.connection = Connection(ours.detach())

    def do(self, job: Job) -> Result:
        """Do a job; raise TimeoutError if it does not stop in time, and EOFError if the process ends."""
        self.connection.send_bytes(compute_process.encoder.encode(job))
        self._wait(job.until, math.inf)
        self.connection.recv_bytes()  # it has opened the model, and begins
        self._wait(job.until, self._used() + job.seconds + OVERRUN_SECONDS)
        result: Result = compute_process.results.decode(self.connection.recv_bytes())
        return result

    def _wait(self, until: float, used: float) -> None:
        """Wait for a message until a moment, or until so many seconds of a processor are used: others compute, too."""
        while not self.connection.poll(POLL_SECONDS):
            if time.monotonic() > until + GRACE_SECONDS or self._used() > used:
                raise TimeoutError

    def _used(self) -> float:
        """Return the seconds of a processor that the process has used."""
        try:
            times = psutil.Process(self.process.pid).cpu_times()
        except psutil.Error:  # it has ended: the socket will say so
            return 0.0
        return float(times.user + times.system)

    def end(self) -> None:
        """Kill it: it holds nothing that anybody needs."""
        self.process.kill()
        self.process.wait()
        self.connection.close()
