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
from tiltyard.serving.http.health import PATHS
from tiltyard.serving.http.prometheus import RequestMetrics
from tiltyard.serving.http.routing import refused
from tiltyard.serving.traffic.feedback_token import HEADER

LONGEST = 1024  # bytes of a path: routes are compared with all of it, and none needs a tenth of that
ID = re.compile(rb"[\w.-]{1,64}")  # what a client may call its request
FAILED = RequestError("internal", "the service failed; its log says why", status=500)
CARRIED = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
KEPT_NOWHERE = [*CARRIED, (b"cache-control", b"no-store")]


class RequestMiddleware:
    """A layer of ASGI, and the only one: each costs every request."""

    def __init__(self, app: ASGIApp, guard: AdmissionControl) -> None:
        self.app, self.guard = app, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request without a key before its body is read; count each when it is answered."""
        if scope["type"] != "http" or scope["path"] in PATHS:  # who watches needs no key, and is not counted
            await self.app(scope, receive, send)
            return
        answer, meters = _Answer(scope, send), _meters(scope)
        try:
            open_ = scope["path"] in page.FILES  # the page has the field for a key
            answer.key = scope["holder"] = "" if open_ else self.guard.holder(scope["headers"])
            _insist_on_short(scope["path"])
            await self._within_time(scope, receive, answer)
        except RequestError as error:
            await refused(scope["path"], error)(scope, receive, answer)
        except Exception:  # a defect of ours: the client hears that there is one, the log how it came about
            if not answer.status:
                await refused(scope["path"], FAILED)(scope, receive, answer)
            raise
        finally:
            if meters:
                meters.count(answer.heard(scope), scope["headers"])

    async def _within_time(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            async with asyncio.timeout(self.guard.limits.seconds):
                await self.app(scope, receive, answer)
        except TimeoutError:
            if answer.status:  # it is cut off; the client sees that it is not whole
                raise
            text = f"expected to be done in {self.guard.limits.seconds:g} seconds"
            raise RequestError("timeout", text, status=503) from None


def _insist_on_short(path: str) -> None:
    if len(path.encode(errors="replace")) > LONGEST:
        raise RequestError("address_too_long", f"expected a path of at most {LONGEST:,} bytes", status=414)


def named(headers: Headers) -> bytes:
    """Return what the client calls its request, or a name of our own."""
    given = next((value for name, value in headers if name == b"x-request-id"), b"")
    return given if given and ID.fullmatch(given) else secrets.token_hex(8).encode()  # not to be guessed


def _meters(scope: Scope) -> RequestMetrics | None:
    """Return what counts, if the app has it by now."""
    found: RequestMetrics | None = getattr(scope["app"].state, "meters", None) if "app" in scope else None
    return found


class _Answer:
    """Sends an answer, with what each carries, and knows what became of it."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope, self.send, self.begun = scope, send, time.perf_counter()
        self.status, self.key = 0, ""
        self.carried = CARRIED if scope["path"] in page.FILES else KEPT_NOWHERE  # the page says itself how it is kept
        self.id = named(scope["headers"])
        scope["id"] = self.id.decode()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.carried, (b"x-request-id", self.id)]
            if token := self.scope.get("feedback_token"):  # of an answer that is recorded
                message["headers"].append((HEADER, token.encode()))
        await self.send(message)

    def heard(self, scope: Scope) -> AnsweredRequest:
        """Return what was asked, and what became of it."""
        model = scope.get("served")
        return AnsweredRequest(
            id=scope["id"],
            client=(scope.get("client") or ("",))[0],
            key=self.key,
            method=scope["method"],
            path=scope["path"],
            status=self.status or 500,
            seconds=time.perf_counter() - self.begun,
            model=model.task if model else "",
            version=model.version if model else "",
            instances=scope.get("instances", 0),
        )
