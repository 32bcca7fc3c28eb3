"""What stands before the routes: who may come in, how many at a time and for how long, and what each answer carries."""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiltyard import keys, page
from tiltyard.errors import RequestError, WorkspaceError
from tiltyard.meters import Heard, Meters
from tiltyard.probes import PATHS
from tiltyard.route import refused

BEARER = b"bearer "
ID = re.compile(rb"[\w.-]{1,64}")  # what a client may call its request
FAILED = RequestError("internal", "the service failed; its log says why", status=500)
CARRIED = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
KEPT_NOWHERE = [*CARRIED, (b"cache-control", b"no-store")]


@dataclass(frozen=True)
class Limits:
    """What a worker bears."""

    concurrency: int = 512  # requests at a time; more are told to come again
    seconds: float = 30.0  # for a request, its body included
    keys: dict[str, str] = field(default_factory=dict)  # who may ask, and the hash of the key; empty: everyone

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Limits:
        """Read them from the environment of the service."""
        kept = environment.get("TILTYARD_KEYS", "")
        return cls(
            int(number(environment, "TILTYARD_CONCURRENCY", cls.concurrency)),
            number(environment, "TILTYARD_TIMEOUT", cls.seconds),
            keys.read(Path(kept)) if kept else {},
        )


def number(environment: Mapping[str, str], name: str, otherwise: float) -> float:
    """Read a number above 0, or what holds where nothing is said."""
    text = environment.get(name) or str(otherwise)
    if not text.replace(".", "", 1).isdecimal() or not float(text):
        raise WorkspaceError(f"{name}: expected a number above 0; received {text}")
    return float(text)


class Front:
    """A layer of ASGI, and the only one: each costs every request."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app, self.limits = app, limits
        self.inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or refuse it before its body is read; count it when it is answered."""
        if scope["type"] != "http" or scope["path"] in PATHS:  # who watches needs no key, and is not counted
            await self.app(scope, receive, send)
            return
        answer, meters = _Answer(scope, send), _meters(scope)
        try:
            answer.key = scope["holder"] = self._admit(scope)
            self._inside(1, meters)
            try:
                await self._within_time(scope, receive, answer)
            finally:
                self._inside(-1, meters)
        except RequestError as error:
            await refused(scope["path"], error)(scope, receive, answer)
        except Exception:  # a defect of ours: the client hears that there is one, the log how it came about
            if not answer.status:
                await refused(scope["path"], FAILED)(scope, receive, answer)
            raise
        finally:
            if meters:
                meters.count(answer.heard(scope), scope["headers"])

    def _admit(self, scope: Scope) -> str:
        """Say whose key it is; there may be none."""
        who = keys.holder(self.limits.keys, _key(scope)) if self.limits.keys else ""
        if self.limits.keys and not who and scope["path"] not in page.FILES:  # it has the field for a key
            raise RequestError("unknown_key", "expected a key: Authorization: Bearer KEY", status=401)
        if self.inside >= self.limits.concurrency:
            text = f"expected at most {self.limits.concurrency} requests at a time; come again in a second"
            raise RequestError("too_many_requests", text, status=429)
        return who

    async def _within_time(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            async with asyncio.timeout(self.limits.seconds):
                await self.app(scope, receive, answer)
        except TimeoutError:
            if answer.status:  # it is cut off; the client sees that it is not whole
                raise
            text = f"expected to be done in {self.limits.seconds:g} seconds"
            raise RequestError("timeout", text, status=503) from None

    def _inside(self, more: int, meters: Meters | None) -> None:
        self.inside += more
        if meters:
            meters.inside.set(self.inside)


def _meters(scope: Scope) -> Meters | None:
    """Give what counts, if the app has it by now."""
    found: Meters | None = getattr(scope["app"].state, "meters", None) if "app" in scope else None
    return found


class _Answer:
    """Sends an answer, with what each carries, and knows what became of it."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.send, self.begun = send, time.perf_counter()
        self.status, self.key = 0, ""
        self.carried = CARRIED if scope["path"] in page.FILES else KEPT_NOWHERE  # the page says itself how it is kept
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        self.id = given if given and ID.fullmatch(given) else b"%016x" % random.getrandbits(64)  # no secret
        scope["id"] = self.id.decode()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.carried, (b"x-request-id", self.id)]
        await self.send(message)

    def heard(self, scope: Scope) -> Heard:
        """Say what was asked, and what became of it."""
        model = scope.get("served")
        return Heard(
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


def _key(scope: Scope) -> str:
    """Give the key that a request brings, by either of the two usual headers."""
    for name, value in scope["headers"]:
        if name == b"authorization" and value[: len(BEARER)].lower() == BEARER:
            return str(value[len(BEARER) :].strip(), "latin-1")
        if name == b"x-api-key":
            return str(value.strip(), "latin-1")
    return ""
