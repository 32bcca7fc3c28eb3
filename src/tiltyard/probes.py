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
    """Ready is who has a model: each was loaded, and answered its example."""
    return PlainTextResponse("\n", 200 if request.app.state.models else 503)


async def _metrics(_: Request) -> Response:
    """Give what this worker counted, or what all of them did where they count in files."""
    import prometheus_client as prometheus
    from prometheus_client import multiprocess

    registry: Any = prometheus.REGISTRY
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = prometheus.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    return Response(prometheus.generate_latest(registry), media_type=prometheus.CONTENT_TYPE_LATEST)
