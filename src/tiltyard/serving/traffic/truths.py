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
from tiltyard.serving.traffic.feedback_token import Tokens
from tiltyard.serving.traffic.rate_limit import RateLimit, RateLimits

CORRECTIONS = 3  # of each truth, with a token
REQUEST = 1000  # bytes that a request counts for beside its truths: each is written to the disk at once
# Bytes at once, and a second. They are of one worker, like all its limits.
TASK = (4_000_000, 500_000)
SENDER = ((2_000_000, 250_000), (64_000_000, 64_000_000 / 86_400))  # the second is of a day
TOKENS = 100_000  # that are remembered with how often they were used

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

    holder: str
    address: str


class Truths:
    """Keeps truths, each on the disk before the client hears so; they are few, and no second chance comes."""

    def __init__(self, folder: Path, tokens: Tokens | None = None) -> None:
        self.folder, self.tokens = folder, tokens or Tokens(folder)
        self.spools: dict[str, AppendLog] = {}
        self.writing, self.counting = threading.Lock(), threading.Lock()  # counting waits for no disk
        self.tasks, self.senders = RateLimits(TASK), RateLimits(*SENDER)
        self.used: OrderedDict[str, int] = OrderedDict()  # how many truths came with each token

    def admit(self, task: str, sender: Sender, size: int) -> None:
        """Refuse a body before it is read if there is no room for it: to read it costs others time."""
        with self.counting:
            _wait(self._of(task, sender), REQUEST + size)

    def charge(self, task: str, sender: Sender, size: int) -> None:
        """Count a body that was read, or refuse it; one that is refused for what it holds counts, too."""
        with self.counting:
            _wait(limits := self._of(task, sender), cost := REQUEST + size)
            for limit in limits:
                limit.take(cost)

    def _of(self, task: str, sender: Sender) -> list[RateLimit]:
        """Return the limits of whoever sends: one must not take the room of all."""
        return self.senders.of(f"{task} {sender.holder or sender.address}")

    def keep(self, task: str, claimed: list[tuple[Truth, str]]) -> None:
        """Keep all truths of a request, each with the token that it came with, or none."""
        line = encoder.encode({"time": time.time(), "truths": [truth for truth, _ in claimed]})
        with self.counting:
            used = self._used(claimed)
            _wait(limits := self.tasks.of(task), cost := REQUEST + len(line))
            for limit in limits:
                limit.take(cost)
        with self.writing:
            spool = self.spools.setdefault(task, AppendLog(self.folder / task / "truths"))
            kept = spool.add(line, durably=True)
        if not kept:
            text = f"no room for more feedback: gather what is there: tiltyard monitor {task}"
            raise RequestError("no_room", text, status=503)
        with self.counting:
            self._remember(used)

    def _used(self, claimed: list[tuple[Truth, str]]) -> dict[str, int]:
        """Count how often each token was used with these; refuse one that corrects without end."""
        used: dict[str, int] = {}
        for place, (_, token) in enumerate(claimed):
            if not token:
                continue
            used[token] = used.get(token, self.used.get(token, 0)) + 1
            if used[token] > (1 + CORRECTIONS) * int(token.split(".")[1]):
                text = f"expected at most {CORRECTIONS} corrections of each truth"
                raise RequestError("too_many_corrections", text, f"feedback[{place}].token", status=429)
        return used

    def _remember(self, used: dict[str, int]) -> None:
        for token, count in used.items():
            self.used[token] = count
            self.used.move_to_end(token)
        while len(self.used) > TOKENS:
            self.used.popitem(last=False)


def _wait(limits: list[RateLimit], cost: int) -> None:
    """Refuse what there is no room for by now."""
    if wait := max(limit.wait(cost) for limit in limits):
        text = f"expected less feedback at a time; send it again in {math.ceil(wait)} seconds"
        raise RequestError("too_many_requests", text, status=429)
