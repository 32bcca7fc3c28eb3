"""Recording process: writes what the service sends it, beside the service, whose event loop must not wait.

python -m tiltyard.serving.recording.process SOCKET FOLDER SECONDS

sender.py starts it, and another one if it ends. When the socket closes, because the service ends or was killed, it
finishes what it has received within a few seconds, and ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

from tiltyard.serving.compute.process import NICE
from tiltyard.serving.recording.drift_gauges import DriftGauges
from tiltyard.serving.recording.entry import Label, Report, encoder, entries
from tiltyard.serving.recording.writer import RecordWriter

REPORT_SECONDS = 0.1  # between reports to the service
FLUSH_SECONDS = 3  # for the rest, once the socket is closed


class Reports:
    """Counts outcomes and gauges, and sends them to the service from a thread."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.lock, self.send_lock = connection, threading.Lock(), threading.Lock()
        self.outcomes: Counter[tuple[Label, str]] = Counter()
        self.drift: dict[tuple[str, str, str], float] = {}
        self.changed = threading.Event()
        threading.Thread(target=self._run, name="reports", daemon=True).start()

    def count(self, label: Label, outcome: str) -> None:
        """Count an outcome."""
        with self.lock:
            self.outcomes[label, outcome] += 1
        self.changed.set()

    def set_drift(self, labels: tuple[str, str, str], value: float) -> None:
        """Set a drift gauge."""
        with self.lock:
            self.drift[labels] = value
        self.changed.set()

    def flush(self) -> None:
        """Send what is new."""
        with self.send_lock:
            with self.lock:
                outcomes = [(label, outcome, number) for (label, outcome), number in self.outcomes.items()]
                report = Report(outcomes, [*self.drift.items()])
                self.outcomes.clear()
                self.drift.clear()
            with contextlib.suppress(OSError):  # the service has ended
                self.connection.send_bytes(encoder.encode(report))

    def _run(self) -> None:
        while True:
            self.changed.wait()
            self.changed.clear()
            time.sleep(REPORT_SECONDS)
            self.flush()


def main() -> None:
    """Work until the socket closes."""
    for number in (signal.SIGINT, signal.SIGTERM):  # may go to all processes; the service closes the socket
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICE)
    connection, folder, seconds = Connection(int(sys.argv[1])), Path(sys.argv[2]), float(sys.argv[3])
    reports = Reports(connection)
    drift = DriftGauges(reports.set_drift)
    drift.start()
    writer = RecordWriter(folder, seconds, reports.count, drift)
    write_all(connection, writer)
    signal.setitimer(signal.ITIMER_REAL, FLUSH_SECONDS)  # ends the process
    writer.close()
    reports.flush()
    os._exit(0)  # no thread needs to end


def write_all(connection: Connection, writer: RecordWriter) -> None:
    """Write all entries until the socket closes."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            for entry in entries.decode(connection.recv_bytes()):
                writer.write(entry)


if __name__ == "__main__":
    main()
