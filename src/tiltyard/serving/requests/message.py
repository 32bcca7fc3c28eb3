"""A request for predictions as it came, and its answer as it is sent, passed between processes and recorded."""

from __future__ import annotations

from typing import Any

import msgspec


class RequestMessage(msgspec.Struct, frozen=True):
    """What a client sent, and by which protocol: v1 or v2."""

    protocol: str
    body: bytes
    type: str = ""  # of the body, as its header says
    json_length: str | None = None  # of v2: how much of the body is JSON


class ResponseMessage(msgspec.Struct, frozen=True, tag=True):
    """The body of an answer, and what is counted and recorded of it."""

    content: bytes
    count: int  # of instances
    ms: float  # of a processor
    json_length: int | None = None
    recorded: bytes = b""  # instances and predictions as JSON, where they are to be recorded
    drift_values: dict[str, list[Any]] | None = None  # at the instances, for drift, where they were files
