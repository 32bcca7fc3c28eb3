"""Messages: a prediction request as received and its response as sent, passed between processes and recorded."""

from __future__ import annotations

from typing import Any

import msgspec


class RequestMessage(msgspec.Struct, frozen=True):
    """The body of a request, and its protocol: v1, v2, or sample and encode of generative models."""

    protocol: str
    body: bytes
    type: str = ""  # media type of the body
    json_length: str | None = None  # v2: how many bytes of the body are JSON


class ResponseMessage(msgspec.Struct, frozen=True, tag=True):
    """The body of a response, and what is counted and recorded about it."""

    content: bytes
    count: int  # number of instances
    ms: float  # CPU time
    json_length: int | None = None
    recorded: bytes | None = None  # instances and predictions as JSON; None if request and response contain them
    drift_values: dict[str, list[Any]] | None = None  # computed here if instances are encoded files, such as images
