"""Recorder: samples requests, writes their predictions as JSON lines, and sends copies to a shadow challenger.

Background threads write; a request only adds data that it already has to a queue, and does not wait.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from starlette.types import Scope

from tiltyard.errors import WorkspaceError
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests.message import RequestMessage, ResponseMessage
from tiltyard.serving.traffic.append_log import AppendLog
from tiltyard.serving.traffic.feedback_token import FeedbackTokens
from tiltyard.serving.traffic.queue import BoundedQueue
from tiltyard.serving.traffic.traffic_split import Assignment, TrafficSplit
from tiltyard.serving.traffic.truths import TruthStore

encoder = msgspec.json.Encoder()


@dataclass(frozen=True)
class RecordedPrediction:
    """A request and its predictions."""

    model: LoadedModel
    arm: str
    id: str
    time: float
    ms: float  # CPU time, which does not depend on the load
    instances: list[Any]
    predictions: list[Any]
    owner: str = ""  # who may send its ground truth
    drift_values: dict[str, list[Any]] | None = None  # if the compute process determined them

    def to_json_line(self) -> bytes:
        """Return a line of JSON; instances with images are left out because of their size."""
        images = any(column.type == "image" for column in self.model.predictor.encoder.columns.values())
        content = {name: getattr(self, name) for name in ("arm", "id", "time", "ms", "owner", "predictions")}
        instances = None if images else self.instances
        return encoder.encode({**content, "version": self.model.version, "instances": instances})


@dataclass(frozen=True)
class PendingRecord:
    """A request and its response, to be decoded and written by a background thread."""

    model: LoadedModel
    arm: str
    id: str
    time: float
    request: RequestMessage
    response: ResponseMessage
    owner: str = ""

    def unpack(self) -> RecordedPrediction:
        """Decode the instances and predictions."""
        instances, predictions = msgspec.json.decode(self.response.recorded)
        content = self.id, self.time, self.response.ms, instances, predictions, self.owner, self.response.drift_values
        return RecordedPrediction(self.model, self.arm, *content)


def _no_shadow(*_: object) -> ResponseMessage:
    raise LookupError("expected the service to set Recorder.predict_shadow")


class Recorder:
    """Records a share of all requests and those of a rollout; calls `observers` with each of them."""

    def __init__(self, folder: Path, share: float = 0.0) -> None:
        self.folder, self.share = folder, share
        self.observers: list[Callable[[RecordedPrediction], None]] = []
        self.predict_shadow: Callable[[LoadedModel, RequestMessage], ResponseMessage] = _no_shadow  # set by the service
        self.on_outcome: Callable[[PendingRecord, str], None] = lambda _, __: None
        self.lines: BoundedQueue[PendingRecord] = BoundedQueue("record", self._write, self._count)
        self.copies: BoundedQueue[PendingRecord] = BoundedQueue("shadow", self._copy, self._count)
        self.tokens = FeedbackTokens(folder)
        self.truths = TruthStore(folder, self.tokens)
        self.logs: dict[str, AppendLog] = {}
        self.skips_left = self._draw_skips()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Recorder | None:
        """Create the recorder that the service's environment describes; None without a folder."""
        text, folder = environment.get("TILTYARD_RECORD") or "0", environment.get("TILTYARD_RECORDS", "")
        try:
            share = float(text)
        except ValueError:
            share = math.nan
        if not 0 <= share <= 1:
            raise WorkspaceError(f"TILTYARD_RECORD: expected a share from 0 to 1; received {text}")
        if share and not folder:
            raise WorkspaceError("TILTYARD_RECORD: expected TILTYARD_RECORDS, too: the folder of the records")
        return cls(Path(folder), share) if folder else None

    def _draw_skips(self) -> float:
        """Draw the number of requests to skip until the next recorded one; all have the same chance."""
        if not 0 < self.share < 1:
            return 0 if self.share else math.inf
        return math.floor(math.log(1 - random.random()) / math.log(1 - self.share))  # noqa: S311 - not for security

    def skip(self) -> bool:
        """Count a request that is not recorded and return True; return False, unchanged, if it is recorded."""
        if self.skips_left:
            self.skips_left -= 1
            return True
        return False

    def is_sampled(self) -> bool:
        """Return whether this request is recorded, and draw the next one."""
        if self.skip():
            return False
        self.skips_left = self._draw_skips()
        return True

    def record(self, scope: Scope, assignment: Assignment, request: RequestMessage, response: ResponseMessage) -> None:
        """Queue a request to be written, and a copy for the shadow challenger."""
        owner, token = self._owner_and_token(scope, assignment.model.task, response.count)
        pending = PendingRecord(assignment.model, assignment.arm, scope["id"], time.time(), request, response, owner)
        size = len(request.body) + len(response.recorded)
        if self.lines.put(pending, size):
            scope["feedback_token"] = token
        if assignment.copy:
            self.copies.put(replace(pending, model=assignment.copy, arm="shadow"), size)

    def _owner_and_token(self, scope: Scope, task: str, count: int) -> tuple[str, str]:
        """Return the owner of a response and its feedback token; empty if the secret cannot be read."""
        try:
            owner = self.tokens.owner(scope.get("key_name", ""))
            return owner, self.tokens.issue(task, scope["id"], owner, count)
        except (OSError, WorkspaceError) as error:  # the response is recorded all the same
            self.tokens.log_failure(error)
            return "", ""

    def records_task(self, task: str, splits: Mapping[str, TrafficSplit]) -> bool:
        """Return whether predictions of a task are or were recorded; only then is feedback accepted."""
        return self.share > 0 or task in splits or (self.folder / task / "answers").is_dir()

    def _count(self, pending: PendingRecord, outcome: str) -> None:
        self.on_outcome(pending, outcome)

    def _copy(self, pending: PendingRecord) -> str:
        """Predict a copy with the challenger; the client has already received its response."""
        return self._append(replace(pending, response=self.predict_shadow(pending.model, pending.request)).unpack())

    def _write(self, pending: PendingRecord) -> str:
        prediction = pending.unpack()
        for observe in self.observers:
            observe(prediction)
        return self._append(prediction)

    def _append(self, prediction: RecordedPrediction) -> str:
        """Append a line to the file of this thread; return the outcome."""
        name = f"{prediction.model.task} {prediction.arm == 'shadow'}"
        log = self.logs.setdefault(name, AppendLog(self.folder / prediction.model.task / "answers"))
        return "written" if log.add(prediction.to_json_line()) else "full"
