"""Record writer: writes recorded requests as JSON lines, predicts copies with the challenger, and measures drift."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tiltyard.serving.compute.pool import ComputePool
from tiltyard.serving.compute.process import cached_model
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.recording.drift_gauges import DriftGauges
from tiltyard.serving.recording.entry import SHADOW, Entry, Label, ModelName
from tiltyard.serving.requests import predict_request
from tiltyard.serving.requests.message import ResponseMessage
from tiltyard.serving.traffic.append_log import AppendLog
from tiltyard.serving.traffic.queue import BoundedQueue, FailureLog

Count = Callable[[Label, str], None]  # of outcomes: written, failed, dropped, or full


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
