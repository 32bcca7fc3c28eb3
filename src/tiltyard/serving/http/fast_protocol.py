"""The fast path of the protocol: usual requests that come in one piece are answered before any app is called.

ASGI costs a request more than its answer does. Whatever is unusual goes on as if nothing had been: to uvicorn, the app,
its middleware (middleware.py) and the fast path there (fast_middleware.py).
"""

from __future__ import annotations

import time
from typing import Any

from starlette.applications import Starlette

from tiltyard.errors import RequestError
from tiltyard.serving.http import fast_middleware
from tiltyard.serving.http.answered_request import AnsweredRequest
from tiltyard.serving.http.connection import CHUNKS, BoundedConnection
from tiltyard.serving.http.middleware import KEPT_NOWHERE, named
from tiltyard.serving.model.loaded_model import LoadedModel

CARRIED = b"".join(b"%s: %s\r\n" % pair for pair in KEPT_NOWHERE)
HEAD = (
    b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\ncontent-type: application/json\r\n"
    + CARRIED
    + b"x-request-id: %s\r\n\r\n"
)


class FastPathProtocol(BoundedConnection):
    """A connection. What it holds of a request it holds only while a piece of the wire is read."""

    def __init__(self, app: Starlette, **uvicorn: Any) -> None:
        super().__init__(app, **uvicorn)
        self.model: LoadedModel | None = None  # who is to answer the request that is being read
        self.held, self.holder, self.begun = b"", "", 0.0

    def read(self) -> None:
        """Read what waits; a request that is not whole then goes to the app, which waits for the rest."""
        self.begun = time.perf_counter()
        super().read()
        if self.model and not self.transport.is_closing():
            self._hand_on()
        self.model = None

    @property
    def awaited(self) -> bool:
        """A request that is held has no answer."""
        return self.model is not None or super().awaited

    def on_headers_complete(self) -> None:
        """Hold the request if it seems a usual one."""
        if not self.expect_body():
            return
        self.model, self.held = self._asked(), b""
        if not self.model:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hold the body, too."""
        if self.model:
            self.held += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Answer at once, or hand on what was held."""
        self.reading = ""
        if self.model and self._answered(self.model):
            self.model = None
            return
        if self.model:
            self._hand_on()
        super().on_message_complete()

    def _asked(self) -> LoadedModel | None:
        """Return the model that is asked, if nothing but an answer is wanted of this connection."""
        meters, parser, guard = self.state.meters, self.parser, self.state.guard
        if (
            not self.state.fast
            or self.reading == CHUNKS
            or self.root_path
            or self.expect_100_continue
            or guard.full
            or not meters
        ):
            return None
        if parser.get_method() != b"POST" or parser.get_http_version() != "1.1" or not parser.should_keep_alive():
            return None
        if (meters.log or meters.tracer) and self._forwarded():
            return None
        path = str(self.url, "latin-1")
        model = fast_middleware.champion(self.state, path, self.headers)
        try:
            self.holder = guard.holder(self.headers) if model else ""
        except RequestError:  # refusing is the app's
            return None
        return model

    def _forwarded(self) -> bool:
        """Return whether a proxy may tell whose address it is that is written down."""
        return any(name == b"x-forwarded-for" for name, _ in self.headers)

    def _answered(self, model: LoadedModel) -> bool:
        try:
            answer = fast_middleware.answered(self.state, model, self.held)
        except Exception:  # noqa: BLE001 - the app meets it again, says so, and logs it
            return False
        if not answer:
            return False
        content, instances = answer
        name = named(self.headers)
        given = b"".join(b"%s: %s\r\n" % pair for pair in self.server_state.default_headers)
        self.transport.write(HEAD % (given, len(content), name) + content)
        self.server_state.total_requests += 1
        self.since = time.monotonic()
        # Later, and soon: whatever fails there is no fault of the request, as uvicorn would think of it here.
        self.loop.call_soon(self.state.meters.count, self._heard(model, str(name, "ascii"), instances), self.headers)
        return True

    def _heard(self, model: LoadedModel, name: str, instances: int) -> AnsweredRequest:
        return AnsweredRequest(
            id=name,
            client=(self.client or ("",))[0],
            key=self.holder,
            method="POST",
            path=str(self.url, "latin-1"),
            status=200,
            seconds=time.perf_counter() - self.begun,
            model=model.task,
            version=model.version,
            instances=instances,
        )

    def _hand_on(self) -> None:
        self.model, expected = None, (self.reading, self.left)
        super().on_headers_complete()
        self.reading, self.left = expected
        if self.held:
            super().on_body(self.held)
