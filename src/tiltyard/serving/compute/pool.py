"""Compute pool: two worker processes for requests that would block the event loop, or that need native parsers.

There are two lanes, each with one process. The quick lane takes small requests; those that need more time move to the
long lane. So an image does not wait for a generated text of 2,000 characters. A process is started when it is first
needed, and killed if its work does not stop in time; only then does the next job start.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

import psutil

from tiltyard.errors import RequestError
from tiltyard.serving.compute import child
from tiltyard.serving.compute import process as compute_process
from tiltyard.serving.compute.fair_queue import FairQueue, Flow
from tiltyard.serving.compute.process import GRACE_SECONDS, ErrorResult, Job, NeedsMoreTime, Result
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests.message import RequestMessage, ResponseMessage

QUICK_SECONDS = 0.1  # that a job may take in the quick lane
MAX_QUICK_BYTES = 262_144  # of a body: reading a larger one takes longer than QUICK_SECONDS
MAX_JOBS_PER_CLIENT = 64  # that wait in a lane
QUEUE_DIVISOR = 4  # a lane's waiting jobs take at most a quarter of all request slots: others still get in
OVERRUN_SECONDS = 0.3  # CPU time over the limit before the process is killed: native code does not check the deadline
POLL_SECONDS = 0.1  # between checks of the CPU time used
IDLE_SECONDS = 300.0  # without work, after which a process ends and frees its memory
SOCKET_TIMEOUT_SECONDS = 10  # to send a message to a process, or to receive one
log = logging.getLogger("bentoml.tiltyard")


@dataclass(eq=False)
class _PendingJob:
    """A job, whose it is, and the future of its result."""

    job: Job
    flow: Flow
    future: Future[ResponseMessage] = field(default_factory=Future)

    def refuse(self, error: RequestError) -> None:
        """Fail the future, unless it is already done or cancelled."""
        with contextlib.suppress(InvalidStateError):
            self.future.set_exception(error)


class ComputePool:
    """The quick and the long lane of one worker. Thread-safe."""

    def __init__(self, seconds: float, slots: int = 512) -> None:
        self.seconds = seconds
        self.long = _Lane("long", max(1, slots // QUEUE_DIVISOR), self._finished)
        self.quick = _Lane("quick", max(1, slots // QUEUE_DIVISOR), self._finished)

    def submit(
        self,
        model: LoadedModel,
        request: RequestMessage,
        client: str = "",
        connection: str = "",
        *,
        record: bool = False,
    ) -> Future[ResponseMessage]:
        """Queue a request; the future raises RequestError if the request is refused or takes too long."""
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
        pending = _PendingJob(job, (client, f"{request.protocol} {model.task}", connection))
        (self.quick if quick else self.long).put(pending)
        return pending.future

    def start(self) -> None:
        """Start the process of the quick lane, so that the first request does not wait for its imports."""
        self.quick.start()

    def _finished(self, pending: _PendingJob, result: Result) -> None:
        """Set the result of a job, or move the job to the long lane."""
        if isinstance(result, ResponseMessage):
            with contextlib.suppress(InvalidStateError):  # cancelled: the client has left
                pending.future.set_result(result)
        elif isinstance(result, ErrorResult):
            pending.refuse(RequestError(result.code, result.message, result.field, result.status))
        elif pending.job.seconds < self.seconds and time.monotonic() + result.seconds < pending.job.until:
            job = pending.job
            long_job = _PendingJob(Job(job.folder, job.request, job.until, self.seconds, job.record), pending.flow)
            long_job.future = pending.future
            self.long.put(long_job)
        else:
            pending.refuse(_timeout_error(self.seconds, result.seconds))

    def close(self) -> None:
        """Kill the processes and cancel the waiting jobs."""
        self.quick.close()
        self.long.close()


def _timeout_error(limit: float, seconds: float) -> RequestError:
    estimate = f"; it would take about {seconds:.0f}" if seconds >= 1 else ""
    return RequestError("timeout", f"expected to be done in {limit:g} seconds{estimate}", status=503)


class _Lane:
    """A fair queue of jobs, the process that runs them, and the thread that controls the process."""

    def __init__(self, name: str, max_jobs: int, finished: Callable[[_PendingJob, Result], None]) -> None:
        self.name, self.finished = name, finished
        self.waiting: FairQueue[_PendingJob] = FairQueue(max_jobs, MAX_JOBS_PER_CLIENT)
        self.changed = threading.Condition()
        self.thread: threading.Thread | None = None  # None before the first job and after close
        self.process: _Process | None = None
        self.spare: _Process | None = None  # ready to take over if the process is killed
        self.use_spare = False  # set once a process was killed: it is likely to happen again
        self.always_on = False  # keep the process when there is no work

    def put(self, pending: _PendingJob) -> None:
        """Queue a job; refuse it, or a job of a client with more of them, if the queue is full."""
        with self.changed:
            dropped = self.waiting.put(pending.flow, pending)
            self._begin()
            self.changed.notify_all()
        if dropped:
            dropped.refuse(RequestError("too_many_requests", "expected fewer long requests at a time", status=429))

    def start(self) -> None:
        """Start the process before the first job, and keep it when there is no work."""
        with self.changed:
            self.always_on = True
            self._begin()

    def _begin(self) -> None:
        if not self.thread:
            self.thread = threading.Thread(target=self._run, name=f"compute {self.name}", daemon=True)
            self.thread.start()

    def close(self) -> None:
        """Kill the process and cancel the waiting jobs."""
        with self.changed:
            thread, self.thread = self.thread, None
            dropped = self.waiting.clear()
            self.changed.notify_all()
        if process := self.process:
            process.process.kill()  # the thread notices, whatever it waits for
        if thread:
            thread.join()
        for pending in dropped:
            pending.future.cancel()

    def _run(self) -> None:
        """Run one job after the other until the lane is closed."""
        thread = threading.current_thread()
        if self.always_on:
            self._start()
        while self.thread is thread:
            pending = self._next(thread)
            if pending and not pending.future.cancelled():  # cancelled: the client left, or its time is up
                start = time.monotonic()
                result = self._run_job(pending.job)
                with self.changed:
                    self.waiting.charge(pending.flow, time.monotonic() - start)
                self.finished(pending, result)
                self._keep_spare()
        self._end()

    def _next(self, thread: threading.Thread) -> _PendingJob | None:
        with self.changed:
            while not self.waiting and self.thread is thread:
                if not self.changed.wait(IDLE_SECONDS) and not self.always_on:
                    self._end()
            if self.thread is not thread:
                return None
            return self.waiting.take()[1]

    def _start(self) -> None:
        try:
            self.process = self.process or _Process()
        except OSError as error:  # retried with the next job
            log.warning("no process for long work can be started: %s", error)

    def _run_job(self, job: Job) -> Result:
        """Run a job; retry once if the process died, which may not have been the job's fault."""
        for _ in range(2):
            if time.monotonic() >= job.until or not self.thread:
                return NeedsMoreTime(0.0)
            self._start()
            if not self.process:
                return ErrorResult(
                    "not_available", "no process can be started for this request; try again later", "", 503
                )
            try:
                return self.process.run(job)
            except TimeoutError:
                log.warning("a request did not stop in time: its process is killed and replaced")
                self._replace()
                return NeedsMoreTime(0.0)
            except (EOFError, OSError, ValueError) as error:
                log.warning("a request crashed its compute process: %s", error or type(error).__name__)
                self._replace()
        return ErrorResult("not_processed", "this request crashed the process that computed it", "", 400)

    def _replace(self) -> None:
        """Kill the process and replace it by the spare one."""
        if self.process:
            self.process.end()
        self.process, self.spare, self.use_spare = self.spare, None, True

    def _keep_spare(self) -> None:
        """Start a spare process if one was killed before, once the main process works."""
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
        self.process, self.connection = child.start(compute_process.__name__)
        with socket.socket(fileno=os.dup(self.connection.fileno())) as same_socket:
            for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):  # the process may stop in the middle of a message
                same_socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", SOCKET_TIMEOUT_SECONDS, 0))
        self.poller = select.poll()  # Connection.poll makes a new one each time
        self.poller.register(self.connection, select.POLLIN)

    def run(self, job: Job) -> Result:
        """Run a job; raise TimeoutError if it does not stop in time, EOFError if the process ends."""
        self.connection.send_bytes(compute_process.encoder.encode(job))
        self._wait(job.until, math.inf)
        cpu_seconds = float(self.connection.recv_bytes())  # sent when the model is loaded and the work begins
        self._wait(job.until, cpu_seconds + job.seconds + OVERRUN_SECONDS)
        result: Result = compute_process.results.decode(self.connection.recv_bytes())
        return result

    def _wait(self, deadline: float, max_cpu_seconds: float) -> None:
        """Wait for a message; raise TimeoutError after a deadline or when the process has used so much CPU time."""
        while not self.poller.poll(1000 * POLL_SECONDS):
            if time.monotonic() > deadline + GRACE_SECONDS or self._cpu_seconds() > max_cpu_seconds:
                raise TimeoutError

    def _cpu_seconds(self) -> float:
        """Return the CPU time that the process has used, in seconds."""
        try:
            times = psutil.Process(self.process.pid).cpu_times()
        except psutil.Error:  # the process has ended: reading the socket will raise EOFError
            return 0.0
        return float(times.user + times.system)

    def end(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()
        self.connection.close()
