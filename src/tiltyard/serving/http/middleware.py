"""Request middleware: authentication, request timeout, response headers, access log and metrics."""

from __future__ import annotations

import asyncio
import re
import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiltyard.errors import RequestError
from tiltyard.serving.http import page
from tiltyard.serving.http.admission import AdmissionControl
from tiltyard.serving.http.answered_request import AnsweredRequest
from tiltyard.serving.http.api_keys import Headers
from tiltyard.serving.http.health import MONITORING_PATHS
from tiltyard.serving.http.prometheus import RequestMetrics
from tiltyard.serving.http.routing import error_response
from tiltyard.serving.traffic.feedback_token import HEADER

MAX_PATH_BYTES = 1024  # far more than any route needs; matching routes takes time for each byte
REQUEST_ID = re.compile(rb"[\w.-]{1,64}")  # a client's own x-request-id
INTERNAL_ERROR = RequestError("internal", "the service failed; its log says why", status=500)
SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
NO_STORE_HEADERS = [*SECURITY_HEADERS, (b"cache-control", b"no-store")]


class RequestMiddleware:
    """The only general ASGI middleware, since each one costs every request time."""

    def __init__(self, app: ASGIApp, admission: AdmissionControl) -> None:
        self.app, self.admission = app, admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request without a valid key before its body is read; count every request when it is answered."""
        if scope["type"] != "http" or scope["path"] in MONITORING_PATHS:  # not counted, and no key needed
            await self.app(scope, receive, send)
            return
        responder, metrics = _Responder(scope, send), _metrics(scope)
        try:
            is_public = scope["path"] in page.FILES  # the page itself asks for a key
            responder.key = scope["key_name"] = "" if is_public else self.admission.authenticate(scope["headers"])
            _check_path_length(scope["path"])
            await self._within_time(scope, receive, responder)
        except RequestError as error:
            await error_response(scope["path"], error)(scope, receive, responder)
        except Exception:  # a bug: the client receives an internal error, the log the traceback
            if not responder.status:
                await error_response(scope["path"], INTERNAL_ERROR)(scope, receive, responder)
            raise
        finally:
            if metrics:
                metrics.count(responder.answered_request(scope), scope["headers"])

    async def _within_time(self, scope: Scope, receive: Receive, responder: _Responder) -> None:
        try:
            async with asyncio.timeout(self.admission.limits.seconds):
                await self.app(scope, receive, responder)
        except TimeoutError:
            if responder.status:  # the response has begun: the client sees that it is incomplete
                raise
            text = f"expected to be done in {self.admission.limits.seconds:g} seconds"
            raise RequestError("timeout", text, status=503) from None


def _check_path_length(path: str) -> None:
    if len(path.encode(errors="replace")) > MAX_PATH_BYTES:
        raise RequestError("address_too_long", f"expected a path of at most {MAX_PATH_BYTES:,} bytes", status=414)


def request_id(headers: Headers) -> bytes:
    """Return the client's x-request-id if it is valid, or a random one."""
    client_value = next((value for name, value in headers if name == b"x-request-id"), b"")
    if client_value and REQUEST_ID.fullmatch(client_value):
        return client_value
    return secrets.token_hex(8).encode()  # not guessable


def _metrics(scope: Scope) -> RequestMetrics | None:
    """Return the metrics, or None before the app has started."""
    metrics: RequestMetrics | None = getattr(scope["app"].state, "metrics", None) if "app" in scope else None
    return metrics


class _Responder:
    """Sends a response with common headers, and notes its status for the log."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope, self.send, self.started = scope, send, time.perf_counter()
        self.status, self.key = 0, ""
        # Files of the page have a cache-control of their own.
        self.headers = SECURITY_HEADERS if scope["path"] in page.FILES else NO_STORE_HEADERS
        self.id = request_id(scope["headers"])
        scope["id"] = self.id.decode()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.headers, (b"x-request-id", self.id)]
            if token := self.scope.get("feedback_token"):  # set if the response is recorded
                message["headers"].append((HEADER, token.encode()))
        await self.send(message)

    def answered_request(self, scope: Scope) -> AnsweredRequest:
        """Return the entry for log and metrics."""
        model = scope.get("model")
        return AnsweredRequest(
            id=scope["id"],
            client=(scope.get("client") or ("",))[0],
            key=self.key,
            method=scope["method"],
            path=scope["path"],
            status=self.status or 500,
            seconds=time.perf_counter() - self.started,
            model=model.task if model else "",
            version=model.version if model else "",
            instances=scope.get("instances", 0),
        )
