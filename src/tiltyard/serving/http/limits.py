"""Limits of a worker from environment variables: concurrency, timeout, connections, keys, and the bytes of bodies."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request

from tiltyard.errors import RequestError, WorkspaceError
from tiltyard.serving.http import api_keys as keys
from tiltyard.serving.http.admission import AdmissionControl
from tiltyard.serving.traffic.traffic_split import client

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


@contextlib.asynccontextmanager
async def read_body(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Read the body; raise RequestError as soon as it is too large. Its bytes count as used until the block ends."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise RequestError("unsupported_encoding", "expected a body that is not compressed", status=415)
    admission: AdmissionControl = request.app.state.admission
    body, client_name = bytearray(), client(request.scope)
    try:
        if declared_length(request) > limit:
            raise _too_large(limit)
        async for chunk in request.stream():
            admission.buffer(len(chunk), client_name)
            body += chunk
            if len(body) > limit:
                raise _too_large(limit)
        yield bytes(body)
    finally:
        admission.buffer(-len(body), client_name)


def _too_large(limit: int) -> RequestError:
    return RequestError("body_too_large", f"expected at most {limit} bytes", status=413)


def declared_length(request: Request) -> int:
    """Return the Content-Length of a request; 0 if it has none."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 20 else 0
