"""The split of a task's traffic: which version answers a request, and which one only gets a copy of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from starlette.types import Scope

from tiltyard.registry.rollout import Rollout
from tiltyard.serving.model.loaded_model import LoadedModel

KEY_HEADER = b"x-tiltyard-key"  # by which a client says what is to stay on one side: a user, a session, a device


@dataclass(frozen=True)
class Assignment:
    """Who answers a request; who gets a copy of it; and whether it goes to the record."""

    model: LoadedModel
    arm: str = "champion"
    copy: LoadedModel | None = None
    record: bool = False


@dataclass(frozen=True)
class TrafficSplit:
    """A challenge that runs, with the challenger's model, open and proven."""

    rollout: Rollout
    challenger: LoadedModel

    def assign(self, champion: LoadedModel, scope: Scope) -> Assignment:
        """Decide by the key: below the share it is the challenger's, or goes to both.

        A key stays where it is as the share grows. Of a canary as many answers of the champion are recorded as of the
        challenger, by the keys that follow: what is compared comes from like clients.
        """
        at, share = self.position(client_key(scope)), self.rollout.share
        if self.rollout.way == "shadow":
            inside = at < share
            return Assignment(champion, copy=self.challenger if inside else None, record=inside)
        if at < share:
            return Assignment(self.challenger, "canary", record=True)
        return Assignment(champion, record=at < 2 * share)

    def position(self, name: bytes) -> float:
        """Return a key its place from 0 to 1; another challenger tries other clients first."""
        told = f"{self.rollout.task} {self.rollout.version} ".encode() + name
        return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest(), "big") / 2**64


def client_key(scope: Scope) -> bytes:
    """Return what keeps a client on its side: its own word, or whose key it brought, or its address."""
    for name, value in scope["headers"]:
        if name == KEY_HEADER:
            return bytes(value)
    return client(scope).encode()


def client(scope: Scope) -> str:
    """Return who asks, as far as that is known: whose key it is, or which address."""
    found: str = scope.get("key_name") or (scope.get("client") or ("",))[0]
    return found


def assign(state: Any, model: LoadedModel, scope: Scope, *, named: bool) -> Assignment:
    """Pick for a request that asks for a model; who names a version or a label gets that one."""
    split: TrafficSplit | None = None if named else state.splits.get(model.task)
    assignment = Assignment(model, "named" if named else "champion")
    if split is not None and split.rollout.champion == model.version:
        assignment = split.assign(model, scope)
    if assignment.record or state.recorder is None or not state.recorder.is_sampled():
        return assignment
    return replace(assignment, record=True)


def is_bypassed(state: Any, name: str) -> bool:
    """Return whether a request for a task's champion needs nothing of all this; who answers it tells the recorder."""
    return name not in state.splits and (state.recorder is None or state.recorder.skips_left > 0)
