"""Health checks and metrics endpoint: /livez, /healthz, /readyz and /metrics, which need no API key."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tiltyard.serving.http.routing import METHODS, allow

CACHE_SECONDS = 1.0  # for which the text of /metrics is cached
MONITORING_PATHS = {"/livez", "/healthz", "/readyz", "/metrics"}  # BentoML uses the same paths


def routes() -> list[Route]:
    """Return the routes of health checks and metrics."""
    handlers = {"/livez": _live, "/healthz": _live, "/readyz": _ready, "/metrics": MetricsEndpoint().respond}
    return [Route(path, allow("GET", handler), methods=METHODS) for path, handler in handlers.items()]


async def _live(_: Request) -> Response:
    return PlainTextResponse("\n")


async def _ready(request: Request) -> Response:
    """Return 200 if this worker has models and checked the champions lately, else 503, with the time of the check."""
    state = request.app.state
    text = f"champions were checked {state.watcher.age:.1f} seconds ago\n" if state.watcher else "\n"
    return PlainTextResponse(text, 200 if is_ready(state) else 503)


def is_ready(state: Any) -> bool:
    """Return whether this worker accepts requests. Without a watcher it serves fixed packages."""
    return bool(state.models) and not (state.watcher and state.watcher.is_stale)


class MetricsEndpoint:
    """The /metrics endpoint, with its text cached for a second, since it takes milliseconds for many models."""

    def __init__(self) -> None:
        self.content, self.valid_until = b"", 0.0  # monotonic time
        self.lock, self.limiter = anyio.Lock(), anyio.CapacityLimiter(1)  # a thread apart from other work

    async def respond(self, _: Request) -> Response:
        """Return the metrics of this worker, or of all workers if they share a folder."""
        from prometheus_client import CONTENT_TYPE_LATEST

        if not self._fresh:
            async with self.lock:
                if not self._fresh:
                    start = time.monotonic()
                    self.content = await anyio.to_thread.run_sync(_render, limiter=self.limiter)
                    self.valid_until = start + CACHE_SECONDS
        return Response(self.content, media_type=CONTENT_TYPE_LATEST)

    @property
    def _fresh(self) -> bool:
        return time.monotonic() < self.valid_until


def _render() -> bytes:
    import prometheus_client as prometheus

    registry: Any = prometheus.REGISTRY
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = prometheus.CollectorRegistry()
        registry.register(_WorkerMetrics(Path(folder)))
    return prometheus.generate_latest(registry)


class _WorkerMetrics:
    """The metrics of all workers, from the files that they share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def collect(self) -> Iterable[Any]:
        """Merge the files, except empty ones: of a worker that is creating the file, or was killed meanwhile."""
        from prometheus_client.multiprocess import MultiProcessCollector

        paths = [str(path) for path in self.folder.glob("*.db") if _size(path)]
        merged: Iterable[Any] = MultiProcessCollector.merge(paths)  # type: ignore[no-untyped-call]
        return merged


def _size(path: Path) -> int:
    """Return the size of a file, or 0 if it is gone: the gauges of dead workers are removed."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
