"""Ground truth of earlier predictions (feedback), stored on disk."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tiltyard.errors import RequestError
from tiltyard.serving.traffic.append_log import AppendLog
from tiltyard.serving.traffic.feedback_limits import FeedbackLimits
from tiltyard.serving.traffic.feedback_token import FeedbackTokens

MAX_CORRECTIONS = 3  # of each truth sent with a token
MAX_TOKENS = 100_000  # whose use is counted

encoder = msgspec.json.Encoder()


@dataclass(frozen=True)
class Truth:
    """The ground truth of an instance (a number, numbers or a label), and the owner of its prediction."""

    id: str
    instance: int
    truth: Any
    owner: str = ""


class TruthStore:
    """Stores truths; each is synced to disk before the client receives the response."""

    def __init__(self, folder: Path, tokens: FeedbackTokens | None = None) -> None:
        self.folder, self.tokens = folder, tokens or FeedbackTokens(folder)
        self.logs: dict[str, AppendLog] = {}
        self.write_lock = threading.Lock()
        self.count_lock = threading.Lock()  # a second lock, so that counting does not wait for the disk
        self.limits = FeedbackLimits()
        self.used: OrderedDict[str, int] = OrderedDict()  # number of truths by token

    def save(self, task: str, truths_and_tokens: list[tuple[Truth, str]]) -> None:
        """Store all truths of a request, each with its token, or none of them."""
        line = encoder.encode({"time": time.time(), "truths": [truth for truth, _ in truths_and_tokens]})
        with self.count_lock:
            counts = self._count_by_token(truths_and_tokens)
        self.limits.charge_task(task, len(line))
        with self.write_lock:
            log = self.logs.setdefault(task, AppendLog(self.folder / task / "truths"))
            stored = log.add(line, durably=True)
        if not stored:
            text = f"no room for more feedback; to compact what is there: tiltyard monitor {task}"
            raise RequestError("no_room", text, status=503)
        with self.count_lock:
            self._remember(counts)

    def _count_by_token(self, truths_and_tokens: list[tuple[Truth, str]]) -> dict[str, int]:
        """Return the new number of truths by token; raise RequestError above the limit of corrections."""
        counts: dict[str, int] = {}
        for index, (_, token) in enumerate(truths_and_tokens):
            if not token:
                continue
            counts[token] = counts.get(token, self.used.get(token, 0)) + 1
            if counts[token] > (1 + MAX_CORRECTIONS) * int(token.split(".")[1]):
                text = f"expected at most {MAX_CORRECTIONS} corrections of each truth"
                raise RequestError("too_many_corrections", text, f"feedback[{index}].token", status=429)
        return counts

    def _remember(self, counts: dict[str, int]) -> None:
        for token, count in counts.items():
            self.used[token] = count
            self.used.move_to_end(token)
        while len(self.used) > MAX_TOKENS:
            self.used.popitem(last=False)
