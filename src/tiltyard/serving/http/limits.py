"""Limits of a worker: concurrency, timeout, connections and API keys, from environment variables."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tiltyard.errors import WorkspaceError
from tiltyard.serving.http import api_keys as keys

RESERVED_FILES = 64  # open files other than connections


@dataclass(frozen=True)
class Limits:
    """The limits of a worker."""

    concurrency: int = 512  # requests at a time; more receive 429
    seconds: float = 30.0  # for a request, including its body
    connections: int = 4096  # open at a time; beyond, the longest idle one is closed
    routes_only: bool = False  # disable the fast path
    keys: dict[str, str] = field(default_factory=dict)  # hashes of API keys by name; empty: no key is required

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Limits:
        """Read the limits from environment variables."""
        key_file = environment.get("TILTYARD_KEYS", "")
        return cls(
            int(read_number(environment, "TILTYARD_CONCURRENCY", cls.concurrency)),
            read_number(environment, "TILTYARD_TIMEOUT", cls.seconds),
            _connections(environment),
            bool(environment.get("TILTYARD_PLAIN")),
            keys.read(Path(key_file)) if key_file else {},
        )


def _connections(environment: Mapping[str, str]) -> int:
    """Return how many connections may be open, within the limit of open files."""
    max_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    max_connections = max(8, max_files - RESERVED_FILES) if max_files != resource.RLIM_INFINITY else Limits.connections
    return min(max_connections, int(read_number(environment, "TILTYARD_CONNECTIONS", Limits.connections)))


def read_number(environment: Mapping[str, str], name: str, default: float) -> float:
    """Read a number above 0 from a variable; return the default if it is not set."""
    text = environment.get(name) or str(default)
    if not text.replace(".", "", 1).isdecimal() or not float(text):
        raise WorkspaceError(f"{name}: expected a number above 0; received {text}")
    return float(text)
