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
from tiltyard.serving.requests.message import Answer, Question
from tiltyard.serving.traffic.append_log import AppendLog
from tiltyard.serving.traffic.feedback_token import Tokens
from tiltyard.serving.traffic.queue import BoundedQueue
from tiltyard.serving.traffic.traffic_split import Assignment, TrafficSplit
from tiltyard.serving.traffic.truths import Truths

encoder = msgspec.json.Encoder()


@dataclass(frozen=True)
class RecordedAnswer:
    """An answered request."""

    model: LoadedModel
    arm: str
    id: str
    time: float
    ms: float  # of a processor: it does not grow when others want the processor, too
    instances: list[Any]
    predictions: list[Any]
    owner: str = ""  # who may say what became true of it
    looked: dict[str, list[Any]] | None = None  # at the instances, where a process beside this one has done it

    def line(self) -> bytes:
        """Return it as a line; pictures are left out, for their size."""
        pictures = any(column.type == "image" for column in self.model.predictor.encoder.columns.values())
        content = {name: getattr(self, name) for name in ("arm", "id", "time", "ms", "owner", "predictions")}
        instances = None if pictures else self.instances
        return encoder.encode({**content, "version": self.model.version, "instances": instances})


@dataclass(frozen=True)
class Taken:
    """An answered request as it is taken: unpacking it is the work of the thread that writes."""

    model: LoadedModel
    arm: str
    id: str
    time: float
    question: Question
    answer: Answer
    owner: str = ""

    def unpacked(self) -> RecordedAnswer:
        """Return what was asked and answered."""
        instances, predictions = msgspec.json.decode(self.answer.told)
        told = self.id, self.time, self.answer.ms, instances, predictions, self.owner, self.answer.looked
        return RecordedAnswer(self.model, self.arm, *told)


def _nobody(*_: object) -> Answer:
    raise LookupError("nobody answers copies: expected the service to set Recorder.ask")


class Recorder:
    """Takes a share of all requests, and those that a challenge asks for; `seen` are told of each."""

    def __init__(self, folder: Path, share: float = 0.0) -> None:
        self.folder, self.share = folder, share
        self.seen: list[Callable[[RecordedAnswer], None]] = []
        self.ask: Callable[[LoadedModel, Question], Answer] = _nobody  # copies; the service sets it
        self.counted: Callable[[Taken, str], None] = lambda _, __: None
        self.lines: BoundedQueue[Taken] = BoundedQueue("record", self._write, self._count)
        self.copies: BoundedQueue[Taken] = BoundedQueue("shadow", self._copy, self._count)
        self.tokens = Tokens(folder)
        self.truths = Truths(folder, self.tokens)
        self.spools: dict[str, AppendLog] = {}
        self.left = self._gap()

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Recorder | None:
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

    def _gap(self) -> float:
        """Draw how many requests pass until the next is recorded: each is with the same chance, at no cost for it."""
        if not 0 < self.share < 1:
            return 0 if self.share else math.inf
        return math.floor(math.log(1 - random.random()) / math.log(1 - self.share))  # noqa: S311 - no secret

    def passed(self) -> bool:
        """Return whether the next request is not recorded, and count it if so; if it is, `due` will say so again."""
        if self.left:
            self.left -= 1
            return True
        return False

    def due(self) -> bool:
        """Return whether this request is recorded."""
        if self.passed():
            return False
        self.left = self._gap()
        return True

    def take(self, scope: Scope, pick: Assignment, question: Question, answer: Answer) -> None:
        """Take an answered request, and let a challenger answer a copy."""
        owner, token = self._owned(scope, pick.model.task, answer.count)
        taken = Taken(pick.model, pick.arm, scope["id"], time.time(), question, answer, owner)
        size = len(question.body) + len(answer.told)
        if self.lines.put(taken, size):
            scope["feedback_token"] = token
        if pick.copy:
            self.copies.put(replace(taken, model=pick.copy, arm="shadow"), size)

    def _owned(self, scope: Scope, task: str, count: int) -> tuple[str, str]:
        """Return whose an answer is, and the token that proves it; neither if the secret cannot be read."""
        try:
            owner = self.tokens.owner(scope.get("holder", ""))
            return owner, self.tokens.issue(task, scope["id"], owner, count)
        except (OSError, WorkspaceError) as error:  # the answer is recorded all the same
            self.tokens.tell(error)
            return "", ""

    def records(self, task: str, arms: Mapping[str, TrafficSplit]) -> bool:
        """Return whether answers of a task are recorded, or were: only then may truths be sent."""
        return self.share > 0 or task in arms or (self.folder / task / "answers").is_dir()

    def _count(self, taken: Taken, outcome: str) -> None:
        self.counted(taken, outcome)

    def _copy(self, taken: Taken) -> str:
        """Answer a copy; whatever becomes of it, the client has had its answer."""
        return self._add(replace(taken, answer=self.ask(taken.model, taken.question)).unpacked())

    def _write(self, taken: Taken) -> str:
        told = taken.unpacked()
        for see in self.seen:
            see(told)
        return self._add(told)

    def _add(self, told: RecordedAnswer) -> str:
        """Write a line, into a file for each of the two threads; say what became of it."""
        name = f"{told.model.task} {told.arm == 'shadow'}"
        spool = self.spools.setdefault(name, AppendLog(self.folder / told.model.task / "answers"))
        return "written" if spool.add(told.line()) else "full"
