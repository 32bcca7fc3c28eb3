"""Recorder: samples requests, and passes them with their responses to the recording process, which writes them.

The process also predicts the copies for a shadow challenger. A request only adds bytes to a queue, and does not wait.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace
from starlette.types import Scope

from tiltyard.errors import WorkspaceError
from tiltyard.serving.recording.entry import Entry, ModelName
from tiltyard.serving.recording.sender import Sender
from tiltyard.serving.requests.message import RequestMessage, ResponseMessage
from tiltyard.serving.traffic.feedback_token import FeedbackTokens
from tiltyard.serving.traffic.traffic_split import Assignment, TrafficSplit
from tiltyard.serving.traffic.truths import TruthStore


class Recorder:
    """Records a share of all requests and those of a rollout."""

    def __init__(self, folder: Path, share: float = 0.0, seconds: float = 30.0) -> None:
        self.folder, self.share = folder, share
        self.sender = Sender(folder, seconds)
        self.tokens = FeedbackTokens(folder)
        self.truths = TruthStore(folder, self.tokens)
        self.skips_left = self._draw_skips()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, seconds: float = 30.0) -> Recorder | None:
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
        return cls(Path(folder), share, seconds) if folder else None

    def _draw_skips(self) -> float:
        """Draw the number of requests to skip until the next recorded one; all have the same chance."""
        if not 0 < self.share < 1:
            return 0 if self.share else math.inf
        return math.floor(math.log(1 - random.random()) / math.log(1 - self.share))  # noqa: S311 - not for security

    @property
    def is_due(self) -> bool:
        """Whether the next request will be sampled."""
        return not self.skips_left

    def is_sampled(self) -> bool:
        """Return whether this request is recorded, and draw the next one."""
        if self.skips_left:
            self.skips_left -= 1
            return False
        self.skips_left = self._draw_skips()
        return True

    def record(self, scope: Scope, assignment: Assignment, request: RequestMessage, response: ResponseMessage) -> None:
        """Queue a request to be written, and to be copied to the shadow challenger."""
        model, challenger = assignment.model, assignment.copy
        owner, token = self._owner_and_token(scope, model.task, response.count)
        if response.recorded is not None:
            response = replace(response, content=b"")
            request = request if challenger else replace(request, body=b"")
        copy = ModelName.of(challenger) if challenger else None
        entry = Entry(ModelName.of(model), assignment.arm, scope["id"], time.time(), owner, request, response, copy)
        if self.sender.put(entry):
            scope["feedback_token"] = token

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
