"""Request bodies: read up to a size limit, with the bytes held counted against the limit of all bodies."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from starlette.requests import Request

from tiltyard.errors import RequestError
from tiltyard.serving.http.admission import AdmissionControl
from tiltyard.serving.traffic.traffic_split import client


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
