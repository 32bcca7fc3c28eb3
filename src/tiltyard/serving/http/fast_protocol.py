"""Fast path in the protocol: ordinary requests that are received completely are answered without calling the app.

ASGI takes longer than the prediction itself. Every other request is passed on unchanged to uvicorn, the app, its
middleware (middleware.py) and the fast path there (fast_middleware.py).
"""

from __future__ import annotations

import time
from typing import Any

from starlette.applications import Starlette

from tiltyard.errors import RequestError
from tiltyard.serving.http import fast_middleware
from tiltyard.serving.http.answered_request import AnsweredRequest
from tiltyard.serving.http.connection import CHUNKS, BoundedConnection
from tiltyard.serving.http.fast_middleware import FastResponse, FastRoute
from tiltyard.serving.http.middleware import NO_STORE_HEADERS, request_id
from tiltyard.serving.traffic.feedback_token import HEADER

FIXED_HEADERS = b"".join(b"%s: %s\r\n" % pair for pair in NO_STORE_HEADERS)
TOKEN_HEADER = HEADER + b": %s\r\n"
RESPONSE_HEAD = b"HTTP/1.1 200 OK\r\n%s%s" + FIXED_HEADERS + b"x-request-id: %s\r\n%s\r\n"


class FastPathProtocol(BoundedConnection):
    """A connection that holds back a request while received data are parsed, to answer it without the app."""

    def __init__(self, app: Starlette, **uvicorn: Any) -> None:
        super().__init__(app, **uvicorn)
        self.route: FastRoute | None = None  # of the held request; None if no request is held
        self.body, self.key_name, self.started = b"", "", 0.0

    def read(self) -> None:
        """Parse pending data; a held request that is still incomplete goes to the app, which awaits the rest."""
        self.started = time.perf_counter()
        super().read()
        if self.route and not self.transport.is_closing():
            self._pass_to_app()
        self.route = None

    @property
    def expects_response(self) -> bool:
        """Whether a response has not been started; a held request has none."""
        return self.route is not None or super().expects_response

    def on_headers_complete(self) -> None:
        """Hold the request if the fast path may answer it; otherwise pass it to the app."""
        if not self.prepare_body():
            return
        self.route, self.body = self._find_route(), b""
        if not self.route:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Buffer the body of a held request."""
        if self.route:
            self.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Answer a held request, or pass it to the app."""
        self.expecting = ""
        if self.route and self._try_respond(self.route):
            self.route = None
            return
        if self.route:
            self._pass_to_app()
        super().on_message_complete()

    def _find_route(self) -> FastRoute | None:
        """Return the route if the fast path may answer the request; None if the app must handle it."""
        metrics, parser, admission = self.state.metrics, self.parser, self.state.admission
        if (
            not self.state.fast_path
            or self.expecting == CHUNKS
            or self.root_path
            or self.expect_100_continue
            or admission.is_full
            or not metrics
        ):
            return None
        if parser.get_method() != b"POST" or parser.get_http_version() != "1.1" or not parser.should_keep_alive():
            return None
        if (metrics.log or metrics.tracer or self.state.splits) and self._is_forwarded():
            return None
        path = str(self.url, "latin-1")
        route = fast_middleware.find_route(self.state, path, self.headers)
        try:
            self.key_name = admission.authenticate(self.headers) if route else ""
        except RequestError:  # the app responds with the error
            return None
        return route

    def _is_forwarded(self) -> bool:
        """Return whether the client's address may come from a proxy's header, which only the app evaluates."""
        return any(name == b"x-forwarded-for" for name, _ in self.headers)

    def _try_respond(self, route: FastRoute) -> bool:
        identifier = request_id(self.headers)
        scope: dict[str, Any] = {
            "headers": self.headers,
            "client": self.client,
            "key_name": self.key_name,
            "id": identifier.decode(),
        }
        try:
            response = fast_middleware.try_respond(self.state, route, self.body, scope)
        except Exception:  # noqa: BLE001 - the app raises and logs it again
            return False
        if not response:
            return False
        defaults, headers = (
            b"".join(b"%s: %s\r\n" % pair for pair in pairs)
            for pairs in (self.server_state.default_headers, response.headers)
        )
        token = scope.get("feedback_token")  # set if the response is recorded
        token_header = TOKEN_HEADER % token.encode() if token else b""
        self.transport.write(RESPONSE_HEAD % (defaults, headers, identifier, token_header) + response.content)
        self.server_state.total_requests += 1
        self.waiting_since = time.monotonic()
        # Deferred, since uvicorn would take an exception here for an invalid request.
        self.loop.call_soon(self.state.metrics.count, self._answered_request(response, scope["id"]), self.headers)
        return True

    def _answered_request(self, response: FastResponse, identifier: str) -> AnsweredRequest:
        return AnsweredRequest(
            id=identifier,
            client=self.address,
            key=self.key_name,
            method="POST",
            path=str(self.url, "latin-1"),
            status=200,
            seconds=time.perf_counter() - self.started,
            model=response.model.task,
            version=response.model.version,
            instances=response.instances,
        )

    def _pass_to_app(self) -> None:
        self.route, body_state = None, (self.expecting, self.remaining)
        super().on_headers_complete()
        self.expecting, self.remaining = body_state
        if self.body:
            super().on_body(self.body)
