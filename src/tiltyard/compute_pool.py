"""Processes beside the service for what would hold it up: long work, and formats with native parsers.

There are two lanes. The quick one does what takes a moment; what turns out to take longer goes to the other. So a
picture need not wait until somebody's text of 2,000 characters is written. A process is started when it is first needed
and ended when its work does not stop in time, and its place is free again only then.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from tiltyard import compute_process
from tiltyard.compute_process import GRACE, Job, Longer, Refusal, Result
from tiltyard.errors import RequestError
from tiltyard.predict_request import Answer, Question
from tiltyard.served import Served

QUICK = 0.1  # seconds of work in the quick lane
QUICK_BYTES = 262_144  # of a body; larger ones take longer than that to read
WAITING = 64  # jobs of one client that may wait in a lane
IDLE = 300.0  # seconds without work after which a process ends, and its memory is given back
STUCK = 10  # seconds in which a process takes in or gives out what it is sent
SOURCE = Path(compute_process.__file__).resolve().parents[1]
QUIET = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}  # it forks
log = logging.getLogger("bentoml.tiltyard")


@dataclass(eq=False)
class _Wanted:
    """A job, and where its result is awaited."""

    job: Job
    client: str
    done: Future[Answer] = field(default_factory=Future)


class ComputePool:
    """The two lanes of one worker. It may be asked from any thread."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.long = _Lane("long", self._finished)
        self.quick = _Lane("quick", self._finished)

    def ask(self, model: Served, question: Question, client: str = "", *, told: bool = False) -> Future[Answer]:
        """Begin to answer a question; the future fails with a RequestError if it is refused or takes too long."""
        if model.folder is None:
            raise ValueError(f"{model.task}: expected a model that was loaded from a package")
        quick = len(question.body) < QUICK_BYTES
        job = Job(str(model.folder), question, time.monotonic() + self.seconds, QUICK if quick else self.seconds, told)
        wanted = _Wanted(job, client)
        (self.quick if quick else self.long).put(wanted)
        return wanted.done

    def start(self) -> None:
        """Start the process of the quick lane, so that nobody has to wait until it has imported what it needs."""
        self.quick.start()

    def _finished(self, wanted: _Wanted, result: Result) -> None:
        """Hand over a result, or the job to the long lane."""
        if isinstance(result, Answer):
            wanted.done.set_result(result)
        elif isinstance(result, Refusal):
            error = RequestError(result.code, result.message, result.field, result.status)
            wanted.done.set_exception(error)
        elif wanted.job.seconds < self.seconds and time.monotonic() + result.seconds < wanted.job.until:
            job = wanted.job
            longer = _Wanted(Job(job.folder, job.question, job.until, self.seconds, job.told), wanted.client)
            longer.done = wanted.done
            try:
                self.long.put(longer)
            except RequestError as error:
                wanted.done.set_exception(error)
        else:
            wanted.done.set_exception(_too_long(self.seconds, result.seconds))

    def close(self) -> None:
        """End the processes, and refuse what still waits."""
        self.quick.close()
        self.long.close()


def _too_long(most: float, seconds: float) -> RequestError:
    about = f"; it would take about {seconds:.0f}" if seconds >= 1 else ""
    return RequestError("timeout", f"expected to be done in {most:g} seconds{about}", status=503)


class _Lane:
    """Jobs that wait, one of each client in turn, and the process that does them, looked after by a thread."""

    def __init__(self, name: str, finished: Callable[[_Wanted, Result], None]) -> None:
        self.name, self.finished = name, finished
        self.waiting: OrderedDict[str, deque[_Wanted]] = OrderedDict()
        self.changed = threading.Condition()
        self.thread: threading.Thread | None = None  # there is none before the first job, and when it is closed
        self.process: _Process | None = None
        self.kept = False  # whether the process is there even if there is no work

    def put(self, wanted: _Wanted) -> None:
        """Let a job wait for its turn; refuse it if its client has many waiting already."""
        with self.changed:
            mine = self.waiting.setdefault(wanted.client, deque())
            if len(mine) >= WAITING:
                raise RequestError("too_many_requests", "expected fewer long requests at a time", status=429)
            mine.append(wanted)
            self._begin()
            self.changed.notify_all()

    def start(self) -> None:
        """Start the process before there is work for it, and keep it where there is none."""
        with self.changed:
            self.kept = True
            self._begin()

    def _begin(self) -> None:
        if not self.thread:
            self.thread = threading.Thread(target=self._run, name=f"compute {self.name}", daemon=True)
            self.thread.start()

    def close(self) -> None:
        """End the process, and refuse what waits."""
        with self.changed:
            thread, self.thread = self.thread, None
            left = [wanted for mine in self.waiting.values() for wanted in mine]
            self.waiting.clear()
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
        if self.kept:
            self._start()
        while self.thread is me:
            wanted = self._next(me)
            if wanted and self._is_awaited(wanted):
                self.finished(wanted, self._do(wanted.job))
        self._end()

    def _is_awaited(self, wanted: _Wanted) -> bool:
        """Whether somebody still waits: a client may have been told that the time is up."""
        return wanted.done.running() or wanted.done.set_running_or_notify_cancel()

    def _next(self, me: threading.Thread) -> _Wanted | None:
        with self.changed:
            while not self.waiting and self.thread is me:
                if not self.changed.wait(IDLE) and not self.kept:
                    self._end()
            if self.thread is not me:
                return None
            client, mine = self.waiting.popitem(last=False)
            wanted = mine.popleft()
            if mine:
                self.waiting[client] = mine
            return wanted

    def _start(self) -> None:
        try:
            self.process = self.process or _Process()
        except OSError as error:  # it is tried again when it is needed
            log.warning("no process for long work can be started: %s", error)

    def _do(self, job: Job) -> Result:
        """Do a job; a second time if the process ended, which may have had another reason."""
        for _ in range(2):
            if time.monotonic() >= job.until or not self.thread:
                return Longer(0.0)
            try:
                self.process = self.process or _Process()
                return self.process.do(job)
            except TimeoutError:
                log.warning("a request did not stop in time: its process is ended, and another started")
                self._end()
                return Longer(job.until - time.monotonic() + GRACE)
            except (EOFError, OSError, ValueError) as error:
                log.warning("a request ended the process that worked on it: %s", error or type(error).__name__)
                self._end()
        return Refusal("not_processed", "expected a request that can be worked on: this one ended its process", "", 400)

    def _end(self) -> None:
        if self.process:
            self.process.end()
            self.process = None


class _Process:
    """A running compute process, and the socket to it."""

    def __init__(self) -> None:
        ours, its = socket.socketpair()
        with its:
            for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):  # of a process that was stopped in the middle
                ours.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", STUCK, 0))
            self.process = subprocess.Popen(
                [sys.executable, "-m", compute_process.__name__, str(its.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), *sys.path]), **QUIET},
                stdin=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
            )
        self.connection = Connection(ours.detach())

    def do(self, job: Job) -> Result:
        """Do a job; raise TimeoutError if it does not stop in time, and EOFError if the process ends."""
        self.connection.send_bytes(compute_process.encoder.encode(job))
        if not self.connection.poll(max(0.0, job.until - time.monotonic()) + GRACE):
            raise TimeoutError
        result: Result = compute_process.results.decode(self.connection.recv_bytes())
        return result

    def end(self) -> None:
        """Kill it: it holds nothing that anybody needs."""
        self.process.kill()
        self.process.wait()
        self.connection.close()
