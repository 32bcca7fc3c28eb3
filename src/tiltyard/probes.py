"""What those who watch the service ask: whether it lives, whether it is ready, what it counted."""

from __future__ import annotations

import os
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tiltyard.route import METHODS, only

PATHS = {"/livez", "/healthz", "/readyz", "/metrics"}  # BentoML's own words, where it stands before us


def routes() -> list[Route]:
    """The paths that need no key."""
    asked = {"/livez": _lives, "/healthz": _lives, "/readyz": _is_ready, "/metrics": _metrics}
    return [Route(path, only("GET", handler), methods=METHODS) for path, handler in asked.items()]


async def _lives(_: Request) -> Response:
    return PlainTextResponse("\n")


async def _is_ready(request: Request) -> Response:
    """Return 200 if this worker has models and looked lately whether there are others; the text says when it did."""
    state = request.app.state
    text = f"champions were looked at {state.keeper.age:.1f} seconds ago\n" if state.keeper else "\n"
    return PlainTextResponse(text, 200 if is_ready(state) else 503)


def is_ready(state: Any) -> bool:
    """Return whether requests should come to this worker. Without a keeper it serves fixed packages."""
    return bool(state.models) and not (state.keeper and state.keeper.stale)


async def _metrics(_: Request) -> Response:
    """Give what this worker counted, or what all of them did where they count in files."""
    import prometheus_client as prometheus
    from prometheus_client import multiprocess

    registry: Any = prometheus.REGISTRY
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = prometheus.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    return Response(prometheus.generate_latest(registry), media_type=prometheus.CONTENT_TYPE_LATEST)
