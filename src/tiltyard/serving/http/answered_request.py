"""Access log entry: a request with its response status and duration, as it is counted, logged and traced."""

from __future__ import annotations

from typing import NamedTuple


class AnsweredRequest(NamedTuple):
    """A request with its response status and duration."""

    id: str
    client: str  # address
    key: str  # name of the API key
    method: str
    path: str
    status: int
    seconds: float
    model: str = ""  # empty unless it is served, since it becomes a label of metrics
    version: str = ""
    instances: int = 0
