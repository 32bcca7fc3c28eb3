"""A running recording process, as the service sees it: what was sent to it, what it reports, and its end."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from tiltyard.serving.compute import child
from tiltyard.serving.recording import process as recording_process
from tiltyard.serving.recording.entry import Label, Report, encoder, reports
from tiltyard.serving.recording.process import FLUSH_SECONDS

# Entries that the system holds until the process has loaded its modules; the system may allow less.
BUFFER_BYTES = 1 << 20

log = logging.getLogger("bentoml.tiltyard")


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
