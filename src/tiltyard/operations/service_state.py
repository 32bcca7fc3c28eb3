"""What a running service says of itself: the version of each task that it serves, and its requests by status."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from tiltyard.errors import TiltyardError
from tiltyard.operations.facts import Requests

SECONDS = 5.0  # for an answer
MAX_BYTES = 4_000_000  # of an answer
SAMPLE = re.compile(r"tiltyard_requests_total\{([^}]*)\} ([0-9.eE+]+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class ServiceState:
    """The version served, empty if it is not known, and requests by version since the service started."""

    served: str = ""
    requests: dict[str, Requests] = field(default_factory=dict)


def read(address: str, task: str) -> ServiceState:
    """Ask the service; raise TiltyardError if it does not answer."""
    try:
        return ServiceState(_served(address, task), parse(_get(f"{address}/metrics").decode(errors="replace"), task))
    except (OSError, ValueError) as error:  # a URLError is an OSError
        hint = "start it: tiltyard serve; or correct operate.service"
        raise TiltyardError(f"{address} does not answer as a service: {error}", hint) from None


def _served(address: str, task: str) -> str:
    """Return the version that the service serves; empty if it needs a key or does not have the task."""
    try:
        content: Any = json.loads(_get(f"{address}/v1/models/{task}"))
    except urllib.error.HTTPError as error:
        if error.code in (401, 403, 404):
            return ""
        raise
    version = content.get("version") if isinstance(content, dict) else None
    return version if isinstance(version, str) else ""


def parse(text: str, task: str) -> dict[str, Requests]:
    """Return the requests of a task by version from the text of /metrics."""
    found: dict[str, Requests] = {}
    for line in text.splitlines():
        if not (match := SAMPLE.match(line)):
            continue
        labels, count = dict(LABEL.findall(match[1])), int(float(match[2]))
        if labels.get("model") == task and (version := labels.get("version", "")):
            before = found.get(version, Requests(0, 0))
            failed = count if labels.get("status", "").startswith("5") else 0
            found[version] = Requests(before.count + count, before.failed + failed)
    return found


def _get(url: str) -> bytes:
    """Return the body of an answer."""
    with urllib.request.urlopen(url, timeout=SECONDS) as response:  # noqa: S310 - the task file allows only http(s)
        content: bytes = response.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES:,} bytes from {url}")
    return content
