"""Limits: what a worker of the service bears, as its environment says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tiltyard import keys
from tiltyard.errors import WorkspaceError


@dataclass(frozen=True)
class Limits:
    """What a worker bears."""

    concurrency: int = 512  # requests at a time; more are told to come again
    seconds: float = 30.0  # for a request, its body included
    keys: dict[str, str] = field(default_factory=dict)  # who may ask, and the hash of the key; empty: everyone

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Limits:
        """Read them from the environment of the service."""
        kept = environment.get("TILTYARD_KEYS", "")
        return cls(
            int(number(environment, "TILTYARD_CONCURRENCY", cls.concurrency)),
            number(environment, "TILTYARD_TIMEOUT", cls.seconds),
            keys.read(Path(kept)) if kept else {},
        )


def number(environment: Mapping[str, str], name: str, otherwise: float) -> float:
    """Read a number above 0, or what holds where nothing is said."""
    text = environment.get(name) or str(otherwise)
    if not text.replace(".", "", 1).isdecimal() or not float(text):
        raise WorkspaceError(f"{name}: expected a number above 0; received {text}")
    return float(text)
