"""Ground truth of earlier predictions (feedback): stored on disk, with rate limits per sender and task."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tiltyard.errors import RequestError
from tiltyard.serving.traffic.append_log import AppendLog
from tiltyard.serving.traffic.feedback_token import FeedbackTokens
from tiltyard.serving.traffic.rate_limit import RateLimit, RateLimits

MAX_CORRECTIONS = 3  # of each truth sent with a token
REQUEST_COST_BYTES = 1000  # added to the size of each request, which is synced to disk by itself
# Bytes at once, and bytes per second; for each worker.
TASK_LIMIT = (4_000_000, 500_000)
SENDER_LIMITS = ((2_000_000, 250_000), (64_000_000, 64_000_000 / 86_400))  # the second one is for a day
MAX_TOKENS = 100_000  # whose use is counted

encoder = msgspec.json.Encoder()


@dataclass(frozen=True)
class Truth:
    """The ground truth of an instance (a number, numbers or a label), and the owner of its prediction."""

    id: str
    instance: int
    truth: Any
    owner: str = ""


class Sender(NamedTuple):
    """The sender of feedback: the name of its API key, if any, and its address."""

    key_name: str
    address: str


class TruthStore:
    """Stores truths; each is synced to disk before the client receives the response."""

    def __init__(self, folder: Path, tokens: FeedbackTokens | None = None) -> None:
        self.folder, self.tokens = folder, tokens or FeedbackTokens(folder)
        self.logs: dict[str, AppendLog] = {}
        self.write_lock = threading.Lock()
        self.count_lock = threading.Lock()  # a second lock, so that counting does not wait for the disk
        self.tasks, self.senders = RateLimits(TASK_LIMIT), RateLimits(*SENDER_LIMITS)
        self.used: OrderedDict[str, int] = OrderedDict()  # number of truths by token

    def admit(self, task: str, sender: Sender, size: int) -> None:
        """Raise RequestError if a body of this size exceeds the sender's rate limit, before it is read."""
        with self.count_lock:
            _require_room(self._limits_of(task, sender), REQUEST_COST_BYTES + size)

    def charge(self, task: str, sender: Sender, size: int) -> None:
        """Count a body against the sender's rate limit, even if its content is then refused."""
        with self.count_lock:
            _require_room(limits := self._limits_of(task, sender), cost := REQUEST_COST_BYTES + size)
            for limit in limits:
                limit.take(cost)

    def _limits_of(self, task: str, sender: Sender) -> list[RateLimit]:
        """Return the rate limits of a sender, which are separate from those of others."""
        return self.senders.for_sender(f"{task} {sender.key_name or sender.address}")

    def save(self, task: str, truths_and_tokens: list[tuple[Truth, str]]) -> None:
        """Store all truths of a request, each with its token, or none of them."""
        line = encoder.encode({"time": time.time(), "truths": [truth for truth, _ in truths_and_tokens]})
        with self.count_lock:
            counts = self._count_by_token(truths_and_tokens)
            _require_room(limits := self.tasks.for_sender(task), cost := REQUEST_COST_BYTES + len(line))
            for limit in limits:
                limit.take(cost)
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


def _require_room(limits: list[RateLimit], cost: int) -> None:
    """Raise RequestError if a cost exceeds the rate limits now."""
    if wait := max(limit.wait(cost) for limit in limits):
        text = f"expected less feedback at a time; send it again in {math.ceil(wait)} seconds"
        raise RequestError("too_many_requests", text, status=429)
