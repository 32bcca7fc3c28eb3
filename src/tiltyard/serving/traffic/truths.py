"""Truths: what became true of answers, kept on the disk, and how many are taken from a sender and for a task."""

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

MAX_CORRECTIONS = 3  # of each truth, with a token
REQUEST_COST_BYTES = 1000  # bytes that a request counts for beside its truths: each is written to the disk at once
# Bytes at once, and a second. They are of one worker, like all its limits.
TASK_LIMIT = (4_000_000, 500_000)
SENDER_LIMITS = ((2_000_000, 250_000), (64_000_000, 64_000_000 / 86_400))  # the second is of a day
MAX_TOKENS = 100_000  # that are remembered with how often they were used

encoder = msgspec.json.Encoder()


@dataclass(frozen=True)
class Truth:
    """What became true of an instance: a number, numbers, or a label; and whose the answer is that it is for."""

    id: str
    instance: int
    truth: Any
    owner: str = ""


class Sender(NamedTuple):
    """Who sends truths: whose key it is, if keys are asked for, and its address."""

    key_name: str
    address: str


class TruthStore:
    """Keeps truths, each on the disk before the client hears so; they are few, and no second chance comes."""

    def __init__(self, folder: Path, tokens: FeedbackTokens | None = None) -> None:
        self.folder, self.tokens = folder, tokens or FeedbackTokens(folder)
        self.logs: dict[str, AppendLog] = {}
        self.write_lock, self.count_lock = threading.Lock(), threading.Lock()  # counting waits for no disk
        self.tasks, self.senders = RateLimits(TASK_LIMIT), RateLimits(*SENDER_LIMITS)
        self.used: OrderedDict[str, int] = OrderedDict()  # how many truths came with each token

    def admit(self, task: str, sender: Sender, size: int) -> None:
        """Refuse a body before it is read if there is no room for it: to read it costs others time."""
        with self.count_lock:
            _require_room(self._limits_of(task, sender), REQUEST_COST_BYTES + size)

    def charge(self, task: str, sender: Sender, size: int) -> None:
        """Count a body that was read, or refuse it; one that is refused for what it holds counts, too."""
        with self.count_lock:
            _require_room(limits := self._limits_of(task, sender), cost := REQUEST_COST_BYTES + size)
            for limit in limits:
                limit.take(cost)

    def _limits_of(self, task: str, sender: Sender) -> list[RateLimit]:
        """Return the limits of whoever sends: one must not take the room of all."""
        return self.senders.for_sender(f"{task} {sender.key_name or sender.address}")

    def save(self, task: str, claimed: list[tuple[Truth, str]]) -> None:
        """Keep all truths of a request, each with the token that it came with, or none."""
        line = encoder.encode({"time": time.time(), "truths": [truth for truth, _ in claimed]})
        with self.count_lock:
            used = self._used(claimed)
            _require_room(limits := self.tasks.for_sender(task), cost := REQUEST_COST_BYTES + len(line))
            for limit in limits:
                limit.take(cost)
        with self.write_lock:
            spool = self.logs.setdefault(task, AppendLog(self.folder / task / "truths"))
            kept = spool.add(line, durably=True)
        if not kept:
            text = f"no room for more feedback: gather what is there: tiltyard monitor {task}"
            raise RequestError("no_room", text, status=503)
        with self.count_lock:
            self._remember(used)

    def _used(self, claimed: list[tuple[Truth, str]]) -> dict[str, int]:
        """Count how often each token was used with these; refuse one that corrects without end."""
        used: dict[str, int] = {}
        for place, (_, token) in enumerate(claimed):
            if not token:
                continue
            used[token] = used.get(token, self.used.get(token, 0)) + 1
            if used[token] > (1 + MAX_CORRECTIONS) * int(token.split(".")[1]):
                text = f"expected at most {MAX_CORRECTIONS} corrections of each truth"
                raise RequestError("too_many_corrections", text, f"feedback[{place}].token", status=429)
        return used

    def _remember(self, used: dict[str, int]) -> None:
        for token, count in used.items():
            self.used[token] = count
            self.used.move_to_end(token)
        while len(self.used) > MAX_TOKENS:
            self.used.popitem(last=False)


def _require_room(limits: list[RateLimit], cost: int) -> None:
    """Refuse what there is no room for by now."""
    if wait := max(limit.wait(cost) for limit in limits):
        text = f"expected less feedback at a time; send it again in {math.ceil(wait)} seconds"
        raise RequestError("too_many_requests", text, status=429)
