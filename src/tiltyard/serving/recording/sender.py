"""Sender: a bounded queue of entries, and the recording process that a thread sends them to.

An entry is only added to the queue while its request is answered; entries that do not fit are dropped and counted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from tiltyard.serving.compute import child
from tiltyard.serving.recording import process as recording_process
from tiltyard.serving.recording.entry import Entry, Label, Report, encoder, reports
from tiltyard.serving.recording.process import FLUSH_SECONDS
from tiltyard.serving.traffic.queue import MAX_BYTES, MAX_ITEMS, FailureLog

BATCH_SECONDS = 0.02  # in which entries are collected: a thread that wakes for each one would delay requests
BATCH_BYTES = 1_000_000
RESTART_SECONDS = 1.0  # between two starts of the process

# Entries that the system holds until the process has loaded its modules; the system may allow less.
BUFFER_BYTES = 1 << 20
log = logging.getLogger("bentoml.tiltyard")


class Sender:
    """The queue and the process of one worker. Thread-safe. The process is started when it is first needed."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder, self.seconds = folder, seconds
        self.max_items, self.max_bytes = MAX_ITEMS, MAX_BYTES
        self.waiting: deque[tuple[list[Label], bytes]] = deque()
        self.held_bytes = 0
        self.changed = threading.Condition()
        self.thread: threading.Thread | None = None  # None before the first entry and after close
        self.process: RunningProcess | None = None
        self.started_at = -RESTART_SECONDS
        self.counts: Counter[tuple[str, str]] = Counter()  # entries by arm and outcome
        self.on_outcome: Callable[[Label, str, int], None] = lambda *_: None
        self.on_drift: Callable[[tuple[str, str, str], float], None] = lambda *_: None
        self.log_failure = FailureLog("recording")

    def put(self, entry: Entry) -> bool:
        """Add an entry if there is room; return whether it was added."""
        message, labels = encoder.encode(entry), entry.labels
        with self.changed:
            fits = len(self.waiting) < self.max_items and self.held_bytes + len(message) <= self.max_bytes
            if fits:
                self.waiting.append((labels, message))
                self.held_bytes += len(message)
                self._begin()
                self.changed.notify_all()
        if not fits:
            self._count([(label, "dropped", 1) for label in labels])
        return fits

    def start(self) -> None:
        """Start the process before the first entry: what is sent outlives this process, even before its imports."""
        try:
            self._running()
        except Exception as error:  # noqa: BLE001 - the thread tries again
            self.log_failure(error)
        with self.changed:
            self._begin()

    def finish(self, seconds: float = 60.0) -> None:
        """Wait until the process has reported of all entries."""
        with self.changed:
            self.changed.wait_for(lambda: not self.waiting and not (self.process and self.process.sent), seconds)

    def close(self) -> None:
        """Send what waits, and end the process once it has finished."""
        with self.changed:
            thread, self.thread = self.thread, None
            self.changed.notify_all()
        if thread:
            thread.join(FLUSH_SECONDS)
        with self.changed:  # the thread ends once there is nothing to send
            labels = [label for entry_labels, _ in self.waiting for label in entry_labels]
            self.waiting.clear()
            self.held_bytes = 0
        self._count([(label, "dropped", 1) for label in labels])
        if self.process:
            self.process.end()

    def _begin(self) -> None:
        if not self.thread:
            self.thread = threading.Thread(target=self._run, name="recording", daemon=True)
            self.thread.start()

    def _run(self) -> None:
        """Send entries until the queue is closed and empty. No exception may stop the thread."""
        thread = threading.current_thread()
        while self.thread is thread or self.waiting:
            try:
                self._send_batch(self._running(), thread)
            except Exception as error:  # noqa: BLE001 - as the docstring says
                self.log_failure(error)

    def _running(self) -> RunningProcess:
        """Return the process; start one if there is none, but not immediately after another."""
        if not self.process or self.process.ended:
            time.sleep(max(0.0, self.started_at + RESTART_SECONDS - time.monotonic()))
            self.started_at = time.monotonic()
            self.process = RunningProcess(self.folder, self.seconds, self.changed, self._take_report)
        return self.process

    def _send_batch(self, process: RunningProcess, thread: threading.Thread) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self.waiting or self.thread is not thread or process.ended)
        if self.thread is thread:
            time.sleep(BATCH_SECONDS)
        if batch := self._take(process):
            process.send(batch)

    def _take(self, process: RunningProcess) -> list[bytes]:
        """Move entries from the queue to those sent to a process, unless it has ended."""
        batch, size = [], 0
        with self.changed:
            while self.waiting and size < BATCH_BYTES and not process.ended:
                labels, message = self.waiting.popleft()
                process.sent.update(labels)
                batch.append(message)
                size += len(message)
            self.held_bytes -= size
        return batch

    def _take_report(self, report: Report) -> None:
        self._count(report.outcomes)
        try:
            for labels, value in report.drift:
                self.on_drift(labels, value)
        except Exception as error:  # noqa: BLE001 - a lost gauge must not end the thread that reads reports
            self.log_failure(error)

    def _count(self, outcomes: list[tuple[Label, str, int]]) -> None:
        """Count outcomes; called during requests, so it must not raise."""
        for label, outcome, number in outcomes:
            with self.changed:
                self.counts[label.arm, outcome] += number
            try:
                self.on_outcome(label, outcome, number)
            except Exception as error:  # noqa: BLE001 - a lost count must not lose an entry
                self.log_failure(error)


def start_process(folder: Path, seconds: float) -> tuple[subprocess.Popen[bytes], Connection]:
    """Start a recording process."""
    return child.start(recording_process.__name__, str(folder), str(seconds))


class RunningProcess:
    """A recording process, and the entries sent to it of which it has not reported yet; `changed` guards these."""

    def __init__(
        self, folder: Path, seconds: float, changed: threading.Condition, on_report: Callable[[Report], None]
    ) -> None:
        self.process, self.connection = start_process(folder, seconds)
        with socket.socket(fileno=os.dup(self.connection.fileno())) as same_socket:
            same_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        self.changed, self.on_report = changed, on_report
        self.sent: Counter[Label] = Counter()
        self.ended = self.closing = False
        threading.Thread(target=self._receive, name="recorded", daemon=True).start()

    def send(self, messages: list[bytes]) -> None:
        """Send entries; if the process has died, they are counted once the connection is found closed."""
        with contextlib.suppress(OSError):
            self.connection.send_bytes(encoder.encode([*map(msgspec.Raw, messages)]))

    def end(self) -> None:
        """Let the process finish what it has received; kill it if that takes too long."""
        self.closing = True
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.connection.fileno())) as same_socket:
            same_socket.shutdown(socket.SHUT_WR)
        try:
            self.process.wait(FLUSH_SECONDS + 1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with self.changed:
            self.changed.wait_for(lambda: self.ended, 1.0)

    def _receive(self) -> None:
        """Pass on reports; when the process has ended, report the rest as failed."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._take(reports.decode(self.connection.recv_bytes()))
        with self.changed:
            self.ended = True
            self._take(Report([(label, "failed", number) for label, number in self.sent.items()], []))
        status = self.process.wait()
        if not self.closing:
            log.warning("the recording process has ended with status %d; another one is started", status)

    def _take(self, report: Report) -> None:
        self.on_report(report)
        with self.changed:
            for label, _, number in report.outcomes:
                self.sent[label] -= number
            self.sent = +self.sent
            self.changed.notify_all()
