"""A request that was answered, as it is counted, logged and traced."""

from __future__ import annotations

from typing import NamedTuple


class AnsweredRequest(NamedTuple):
    """A request that was answered."""

    id: str
    client: str  # its address
    key: str  # whose key it brought
    method: str
    path: str
    status: int
    seconds: float
    model: str = ""  # of those that are served: what a client makes up is no label
    version: str = ""
    instances: int = 0
