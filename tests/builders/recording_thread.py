"""The recording process as a thread, which starts at once, and in which tests can replace functions."""

from __future__ import annotations

import socket
import subprocess
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from tiltyard.serving.recording.drift_gauges import DriftGauges
from tiltyard.serving.recording.process import RecordWriter, Reports, write_all


class RecordingThread:
    """What the sender uses of a process."""

    def __init__(self, connection: Connection, folder: Path, seconds: float) -> None:
        self.connection, self.reports = connection, Reports(connection)
        self.writer = RecordWriter(folder, seconds, self.reports.count, DriftGauges(self.reports.set_drift))
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        with self.connection:
            write_all(self.connection, self.writer)
            self.writer.close()
            self.reports.flush()

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended."""
        self.thread.join(timeout)
        if self.thread.is_alive():
            raise subprocess.TimeoutExpired("recording", timeout or 0.0)
        return 0

    def kill(self) -> None:
        """Leave a thread that does not end."""


def start(folder: Path, seconds: float) -> tuple[RecordingThread, Connection]:
    """Start a recording thread instead of the process."""
    parent_socket, child_socket = socket.socketpair()
    return RecordingThread(Connection(child_socket.detach()), folder, seconds), Connection(parent_socket.detach())
