"""Limits: what a worker of the service bears, as its environment says."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tiltyard.errors import WorkspaceError
from tiltyard.serving.http import api_keys as keys

RESERVED_FILES = 64  # open files that are no connections


@dataclass(frozen=True)
class Limits:
    """What a worker bears."""

    concurrency: int = 512  # requests at a time; more are told to come again
    seconds: float = 30.0  # for a request, its body included
    connections: int = 4096  # open at a time; beyond, the one that kept us waiting longest is ended
    routes_only: bool = False  # answer every request by the routes, none by the fast path
    keys: dict[str, str] = field(default_factory=dict)  # who may ask, and the hash of the key; empty: everyone

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Limits:
        """Read them from the environment of the service."""
        kept = environment.get("TILTYARD_KEYS", "")
        return cls(
            int(read_number(environment, "TILTYARD_CONCURRENCY", cls.concurrency)),
            read_number(environment, "TILTYARD_TIMEOUT", cls.seconds),
            _connections(environment),
            bool(environment.get("TILTYARD_PLAIN")),
            keys.read(Path(kept)) if kept else {},
        )


def _connections(environment: Mapping[str, str]) -> int:
    """Read how many connections may be open; some files must be left for everything else."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(8, files - RESERVED_FILES) if files != resource.RLIM_INFINITY else Limits.connections
    return min(most, int(read_number(environment, "TILTYARD_CONNECTIONS", Limits.connections)))


def read_number(environment: Mapping[str, str], name: str, otherwise: float) -> float:
    """Read a number above 0, or what holds where nothing is said."""
    text = environment.get(name) or str(otherwise)
    if not text.replace(".", "", 1).isdecimal() or not float(text):
        raise WorkspaceError(f"{name}: expected a number above 0; received {text}")
    return float(text)
