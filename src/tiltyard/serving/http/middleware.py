"""The middleware before the routes: asks for keys, ends requests in time, counts them when they are answered."""

from __future__ import annotations

import asyncio
import re
import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiltyard.errors import RequestError
from tiltyard.serving.http import page
from tiltyard.serving.http.admission import AdmissionControl, Headers
from tiltyard.serving.http.answered_request import AnsweredRequest
from tiltyard.serving.http.health import MONITORING_PATHS
from tiltyard.serving.http.prometheus import RequestMetrics
from tiltyard.serving.http.routing import error_response
from tiltyard.serving.traffic.feedback_token import HEADER

MAX_PATH_BYTES = 1024  # bytes of a path: routes are compared with all of it, and none needs a tenth of that
REQUEST_ID = re.compile(rb"[\w.-]{1,64}")  # what a client may call its request
INTERNAL_ERROR = RequestError("internal", "the service failed; its log says why", status=500)
SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
NO_STORE_HEADERS = [*SECURITY_HEADERS, (b"cache-control", b"no-store")]


class RequestMiddleware:
    """A layer of ASGI, and the only one: each costs every request."""

    def __init__(self, app: ASGIApp, admission: AdmissionControl) -> None:
        self.app, self.admission = app, admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request without a key before its body is read; count each when it is answered."""
        if scope["type"] != "http" or scope["path"] in MONITORING_PATHS:  # who watches needs no key, and is not counted
            await self.app(scope, receive, send)
            return
        responder, metrics = _Responder(scope, send), _metrics(scope)
        try:
            open_ = scope["path"] in page.FILES  # the page has the field for a key
            responder.key = scope["key_name"] = "" if open_ else self.admission.authenticate(scope["headers"])
            _check_path_length(scope["path"])
            await self._within_time(scope, receive, responder)
        except RequestError as error:
            await error_response(scope["path"], error)(scope, receive, responder)
        except Exception:  # a defect of ours: the client hears that there is one, the log how it came about
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
            if responder.status:  # it is cut off; the client sees that it is not whole
                raise
            text = f"expected to be done in {self.admission.limits.seconds:g} seconds"
            raise RequestError("timeout", text, status=503) from None


def _check_path_length(path: str) -> None:
    if len(path.encode(errors="replace")) > MAX_PATH_BYTES:
        raise RequestError("address_too_long", f"expected a path of at most {MAX_PATH_BYTES:,} bytes", status=414)


def request_id(headers: Headers) -> bytes:
    """Return what the client calls its request, or a name of our own."""
    given = next((value for name, value in headers if name == b"x-request-id"), b"")
    return given if given and REQUEST_ID.fullmatch(given) else secrets.token_hex(8).encode()  # not to be guessed


def _metrics(scope: Scope) -> RequestMetrics | None:
    """Return what counts, if the app has it by now."""
    found: RequestMetrics | None = getattr(scope["app"].state, "metrics", None) if "app" in scope else None
    return found


class _Responder:
    """Sends an responder, with what each carries, and knows what became of it."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope, self.send, self.started = scope, send, time.perf_counter()
        self.status, self.key = 0, ""
        self.headers = (
            SECURITY_HEADERS if scope["path"] in page.FILES else NO_STORE_HEADERS
        )  # the page says itself how it is kept
        self.id = request_id(scope["headers"])
        scope["id"] = self.id.decode()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.headers, (b"x-request-id", self.id)]
            if token := self.scope.get("feedback_token"):  # of an responder that is recorded
                message["headers"].append((HEADER, token.encode()))
        await self.send(message)

    def answered_request(self, scope: Scope) -> AnsweredRequest:
        """Return what was asked, and what became of it."""
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
