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
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from tiltyard.serving.compute.pool import ComputePool
from tiltyard.serving.compute.process import NICE, cached_model
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.recording.drift_gauges import DriftGauges
from tiltyard.serving.recording.entry import SHADOW, Entry, Label, ModelName, Report, encoder, entries
from tiltyard.serving.requests import predict_request
from tiltyard.serving.requests.message import ResponseMessage
from tiltyard.serving.traffic.append_log import AppendLog
from tiltyard.serving.traffic.queue import BoundedQueue, FailureLog

REPORT_SECONDS = 0.1  # between reports to the service
FLUSH_SECONDS = 3  # for the rest, once the socket is closed

Count = Callable[[Label, str], None]  # of outcomes: written, failed, dropped, or full


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


class RecordWriter:
    """The work of the recording process. Copies have a queue and a thread, so that records do not wait for them."""

    def __init__(self, folder: Path, seconds: float, count: Count, drift: DriftGauges) -> None:
        self.folder, self.count, self.drift = folder, count, drift
        self.copies: BoundedQueue[Entry] = BoundedQueue(
            SHADOW, self._copy, lambda entry, outcome: count(entry.labels[1], outcome)
        )
        self.pool = ComputePool(seconds)  # for copies that take long or need native parsers
        self.logs: dict[str, AppendLog] = {}
        self.models: dict[str, LoadedModel] = {}  # by folder; each thread has its own
        self.challengers: dict[str, LoadedModel] = {}
        self.log_failure = FailureLog("record")

    def write(self, entry: Entry) -> None:
        """Write a request, and queue its copy. No exception may end the process: later records would be lost."""
        try:
            outcome = self._write(entry)
        except BaseException as error:  # noqa: BLE001 - as the docstring says
            outcome = "failed"
            self.log_failure(error)
        self.count(entry.labels[0], outcome)
        if entry.copy:
            self.copies.put(entry, len(entry.request.body) + len(entry.response.content))

    def close(self) -> None:
        """Predict the copies that wait, and close the files."""
        self.copies.finish()
        self.pool.close()
        for log in self.logs.values():
            log.close()

    def _write(self, entry: Entry) -> str:
        line, instances = entry.to_json_line(entry.model, entry.arm, entry.response)
        if entry.arm == "champion" and entry.model.folder:
            load = partial(cached_model, entry.model.folder, self.models)
            self.drift.observe(load, instances, entry.response.drift_values)
        return self._append(entry.model, entry.arm, line)

    def _copy(self, entry: Entry) -> str:
        """Predict a copy; the client has already received its response."""
        assert entry.copy  # noqa: S101 - for the type checker
        response = self._predict(cached_model(entry.copy.folder, self.challengers), entry)
        return self._append(entry.copy, SHADOW, entry.to_json_line(entry.copy, SHADOW, response)[0])

    def _predict(self, model: LoadedModel, entry: Entry) -> ResponseMessage:
        """Predict in the way in which the champion did, so that their times can be compared."""
        request = entry.request_of_copy()
        compiled = predict_request.respond_compiled(model, request.body) if entry.response.recorded is None else None
        return (
            compiled
            or predict_request.respond_if_fast(model, request, record=True)
            or self.pool.submit(model, request, SHADOW, record=True).result()
        )

    def _append(self, model: ModelName, arm: str, line: bytes) -> str:
        """Append a line to the file of this thread; return the outcome."""
        name = f"{model.task} {arm == SHADOW}"
        log = self.logs.setdefault(name, AppendLog(self.folder / model.task / "answers"))
        return "written" if log.add(line) else "full"


if __name__ == "__main__":
    main()
