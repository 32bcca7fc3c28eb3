"""What those who watch the service ask: whether it lives, whether it is ready, what it counted."""

from __future__ import annotations

import os
import time
from typing import Any

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tiltyard.serving.http.routing import METHODS, allow

CACHE_SECONDS = 1.0  # seconds in which all hear the same figures
MONITORING_PATHS = {"/livez", "/healthz", "/readyz", "/metrics"}  # BentoML's own words, where it stands before us


def routes() -> list[Route]:
    """The paths that need no key."""
    asked = {"/livez": _live, "/healthz": _live, "/readyz": _ready, "/metrics": MetricsEndpoint().answer}
    return [Route(path, allow("GET", handler), methods=METHODS) for path, handler in asked.items()]


async def _live(_: Request) -> Response:
    return PlainTextResponse("\n")


async def _ready(request: Request) -> Response:
    """Return 200 if this worker has models and looked lately whether there are others; the text says when it did."""
    state = request.app.state
    text = f"champions were looked at {state.watcher.age:.1f} seconds ago\n" if state.watcher else "\n"
    return PlainTextResponse(text, 200 if is_ready(state) else 503)


def is_ready(state: Any) -> bool:
    """Return whether requests should come to this worker. Without a keeper it serves fixed packages."""
    return bool(state.models) and not (state.watcher and state.watcher.is_stale)


class MetricsEndpoint:
    """What /metrics answers, written once for all who ask within a second: it takes milliseconds for many models."""

    def __init__(self) -> None:
        self.content, self.until = b"", 0.0  # by the monotonic clock
        self.writing, self.thread = anyio.Lock(), anyio.CapacityLimiter(1)  # which waits for no other work

    async def answer(self, _: Request) -> Response:
        """Return what this worker counted, or what all of them did where they count in files."""
        from prometheus_client import CONTENT_TYPE_LATEST

        if not self._fresh:
            async with self.writing:
                if not self._fresh:
                    begun = time.monotonic()
                    self.content = await anyio.to_thread.run_sync(_render, limiter=self.thread)
                    self.until = begun + CACHE_SECONDS
        return Response(self.content, media_type=CONTENT_TYPE_LATEST)

    @property
    def _fresh(self) -> bool:
        return time.monotonic() < self.until


def _render() -> bytes:
    import prometheus_client as prometheus
    from prometheus_client import multiprocess

    registry: Any = prometheus.REGISTRY
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = prometheus.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    return prometheus.generate_latest(registry)
