"""The recorder: what a worker answered, a line of JSON a request, and what challengers answered to copies.

It writes from a thread of its own; a request gives away what it holds already, and waits for nothing.
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
    """An answered request."""

    model: LoadedModel
    arm: str
    id: str
    time: float
    ms: float  # of a processor: it does not grow when others want the processor, too
    instances: list[Any]
    predictions: list[Any]
    owner: str = ""  # who may say what became true of it
    drift_values: dict[str, list[Any]] | None = None  # at the instances, where a process beside this one has done it

    def to_json_line(self) -> bytes:
        """Return it as a line; pictures are left out, for their size."""
        pictures = any(column.type == "image" for column in self.model.predictor.encoder.columns.values())
        content = {name: getattr(self, name) for name in ("arm", "id", "time", "ms", "owner", "predictions")}
        instances = None if pictures else self.instances
        return encoder.encode({**content, "version": self.model.version, "instances": instances})


@dataclass(frozen=True)
class PendingRecord:
    """An answered request as it is taken: unpacking it is the work of the thread that writes."""

    model: LoadedModel
    arm: str
    id: str
    time: float
    request: RequestMessage
    answer: ResponseMessage
    owner: str = ""

    def unpack(self) -> RecordedPrediction:
        """Return what was asked and answered."""
        instances, predictions = msgspec.json.decode(self.answer.recorded)
        told = self.id, self.time, self.answer.ms, instances, predictions, self.owner, self.answer.drift_values
        return RecordedPrediction(self.model, self.arm, *told)


def _no_shadow(*_: object) -> ResponseMessage:
    raise LookupError("nobody answers copies: expected the service to set Recorder.ask")


class Recorder:
    """Takes a share of all requests, and those that a challenge asks for; `seen` are told of each."""

    def __init__(self, folder: Path, share: float = 0.0) -> None:
        self.folder, self.share = folder, share
        self.observers: list[Callable[[RecordedPrediction], None]] = []
        self.answer_copy: Callable[[LoadedModel, RequestMessage], ResponseMessage] = (
            _no_shadow  # copies; the service sets it
        )
        self.on_outcome: Callable[[PendingRecord, str], None] = lambda _, __: None
        self.lines: BoundedQueue[PendingRecord] = BoundedQueue("record", self._write, self._count)
        self.copies: BoundedQueue[PendingRecord] = BoundedQueue("shadow", self._copy, self._count)
        self.tokens = FeedbackTokens(folder)
        self.truths = TruthStore(folder, self.tokens)
        self.logs: dict[str, AppendLog] = {}
        self.skips_left = self._draw_skips()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Recorder | None:
        """Make it as the environment of the service wants it; there is none without a folder."""
        text, folder = environment.get("TILTYARD_RECORD") or "0", environment.get("TILTYARD_RECORDS", "")
        try:
            share = float(text)
        except ValueError:
            share = math.nan
        if not 0 <= share <= 1:
            raise WorkspaceError(f"TILTYARD_RECORD: expected a share from 0 to 1; received {text}")
        if share and not folder:
            raise WorkspaceError("TILTYARD_RECORD: expected TILTYARD_RECORDS, too: the folder for what is recorded")
        return cls(Path(folder), share) if folder else None

    def _draw_skips(self) -> float:
        """Draw how many requests pass until the next is recorded: each is with the same chance, at no cost for it."""
        if not 0 < self.share < 1:
            return 0 if self.share else math.inf
        return math.floor(math.log(1 - random.random()) / math.log(1 - self.share))  # noqa: S311 - no secret

    def skip(self) -> bool:
        """Return whether the next request is not recorded, and count it if so; if it is, `due` will say so again."""
        if self.skips_left:
            self.skips_left -= 1
            return True
        return False

    def is_sampled(self) -> bool:
        """Return whether this request is recorded."""
        if self.skip():
            return False
        self.skips_left = self._draw_skips()
        return True

    def record(self, scope: Scope, assignment: Assignment, request: RequestMessage, answer: ResponseMessage) -> None:
        """Take an answered request, and let a challenger answer a copy."""
        owner, token = self._owner_and_token(scope, assignment.model.task, answer.count)
        taken = PendingRecord(assignment.model, assignment.arm, scope["id"], time.time(), request, answer, owner)
        size = len(request.body) + len(answer.recorded)
        if self.lines.put(taken, size):
            scope["feedback_token"] = token
        if assignment.copy:
            self.copies.put(replace(taken, model=assignment.copy, arm="shadow"), size)

    def _owner_and_token(self, scope: Scope, task: str, count: int) -> tuple[str, str]:
        """Return whose an answer is, and the token that proves it; neither if the secret cannot be read."""
        try:
            owner = self.tokens.owner(scope.get("key_name", ""))
            return owner, self.tokens.issue(task, scope["id"], owner, count)
        except (OSError, WorkspaceError) as error:  # the answer is recorded all the same
            self.tokens.log_failure(error)
            return "", ""

    def records_task(self, task: str, splits: Mapping[str, TrafficSplit]) -> bool:
        """Return whether answers of a task are recorded, or were: only then may truths be sent."""
        return self.share > 0 or task in splits or (self.folder / task / "answers").is_dir()

    def _count(self, taken: PendingRecord, outcome: str) -> None:
        self.on_outcome(taken, outcome)

    def _copy(self, taken: PendingRecord) -> str:
        """Answer a copy; whatever becomes of it, the client has had its answer."""
        return self._add(replace(taken, answer=self.answer_copy(taken.model, taken.request)).unpack())

    def _write(self, taken: PendingRecord) -> str:
        told = taken.unpack()
        for see in self.observers:
            see(told)
        return self._add(told)

    def _add(self, told: RecordedPrediction) -> str:
        """Write a line, into a file for each of the two threads; say what became of it."""
        name = f"{told.model.task} {told.arm == 'shadow'}"
        spool = self.logs.setdefault(name, AppendLog(self.folder / told.model.task / "answers"))
        return "written" if spool.add(told.to_json_line()) else "full"
