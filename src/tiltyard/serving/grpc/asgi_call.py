"""Calls of the app as ASGI, as for an HTTP request: a gRPC call passes the same middleware, limits and routes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message

Headers = list[tuple[bytes, bytes]]


class Response(NamedTuple):
    """The response to a request."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


async def call(
    app: ASGIApp, path: str, headers: Headers, client: tuple[str, int], body: bytes | None = None
) -> Response:
    """Return the response of the app to a GET request, or to a POST request with a body."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "2",
        "method": "GET" if body is None else "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(errors="replace"),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": client,
        "server": None,
    }
    exchange = _Exchange(body or b"")
    with contextlib.suppress(Exception):  # the app has responded with 500 and logged it
        await app(scope, exchange.receive, exchange.send)
    return Response(exchange.status, exchange.headers, exchange.content)


class _Exchange:
    """The messages of one request."""

    def __init__(self, body: bytes) -> None:
        self.messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        self.status, self.headers, self.content = 500, dict[bytes, bytes](), b""

    async def receive(self) -> Message:
        """Return the body; then wait, since gRPC cancels the call if the client leaves."""
        return self.messages.pop() if self.messages else await asyncio.get_running_loop().create_future()

    async def send(self, message: Any) -> None:
        """Keep the response."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.content += message.get("body", b"")
