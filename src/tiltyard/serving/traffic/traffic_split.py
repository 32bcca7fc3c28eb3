"""Shadow and canary traffic: assigns each request to a version, by a hash of the client."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from starlette.types import Scope

from tiltyard.registry.rollout import Rollout
from tiltyard.serving.model.loaded_model import LoadedModel

KEY_HEADER = b"x-tiltyard-key"  # set by clients to what must stay on one version: a user, session or device


@dataclass(frozen=True)
class Assignment:
    """The model that responds to a request, the model that receives a copy, and whether it is recorded in any case."""

    model: LoadedModel
    arm: str = "champion"
    copy: LoadedModel | None = None
    record: bool = False


@dataclass(frozen=True)
class TrafficSplit:
    """A running rollout with the challenger's model, loaded and verified."""

    rollout: Rollout
    challenger: LoadedModel

    def assign(self, champion: LoadedModel, scope: Scope) -> Assignment:
        """Assign a request by its client's position: below the share to the challenger, or for a shadow to both.

        A client stays with the challenger as the share grows. For a canary, as many clients of the champion are
        recorded as of the challenger, so that the comparison is between equal numbers of clients.
        """
        position, share = self.position(client_key(scope)), self.rollout.share
        if self.rollout.way == "shadow":
            is_copied = position < share
            return Assignment(champion, copy=self.challenger if is_copied else None, record=is_copied)
        if position < share:
            return Assignment(self.challenger, "canary", record=True)
        return Assignment(champion, record=position < 2 * share)

    def position(self, name: bytes) -> float:
        """Return the position of a client from 0 to 1; it differs between challengers."""
        salted = f"{self.rollout.task} {self.rollout.version} ".encode() + name
        return int.from_bytes(hashlib.blake2b(salted, digest_size=8).digest(), "big") / 2**64


def client_key(scope: Scope) -> bytes:
    """Return what identifies a client for the split: its header, API key or address."""
    for name, value in scope["headers"]:
        if name == KEY_HEADER:
            return bytes(value)
    return client(scope).encode()


def client(scope: Scope) -> str:
    """Return the name of the client's API key, or its address."""
    name: str = scope.get("key_name") or (scope.get("client") or ("",))[0]
    return name


def assign(state: Any, model: LoadedModel, scope: Scope, *, named: bool) -> Assignment:
    """Assign a request to a model; a request that names a version or label always goes to that one."""
    split: TrafficSplit | None = None if named else state.splits.get(model.task)
    if split is not None and split.rollout.champion == model.version:
        return split.assign(model, scope)
    return Assignment(model, "named" if named else "champion")


def is_recorded(state: Any, assignment: Assignment) -> bool:
    """Return whether a request is recorded, by its assignment or by sampling; call it once for each request."""
    return state.recorder is not None and (assignment.record or state.recorder.is_sampled())
