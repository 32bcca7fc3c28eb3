"""The hatch: uvicorn's reader of requests, which answers usual ones that come in one piece before any app is asked.

What ASGI costs a request is more than its answer does. Whatever is unusual goes on as if nothing had been: to uvicorn,
the app, its front and its lane.
"""

from __future__ import annotations

import time
from typing import Any

from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tiltyard import lane
from tiltyard.errors import RequestError
from tiltyard.front import KEPT_NOWHERE, named
from tiltyard.meters import Heard
from tiltyard.served import Served

CARRIED = b"".join(b"%s: %s\r\n" % pair for pair in KEPT_NOWHERE)
HEAD = (
    b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\ncontent-type: application/json\r\n"
    + CARRIED
    + b"x-request-id: %s\r\n\r\n"
)


class Hatch(HttpToolsProtocol):
    """A connection. What it holds of a request it holds only while a piece of the wire is read."""

    def __init__(self, app: Starlette, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self.state = app.state
        self.model: Served | None = None  # who is to answer the request that is being read
        self.held, self.holder, self.begun = b"", "", 0.0

    def data_received(self, data: bytes) -> None:
        """Read a piece; what is not whole by its end has to wait, for which the app has a limit."""
        self.begun = time.perf_counter()
        super().data_received(data)
        if self.model and not self.transport.is_closing():
            self._hand_on()
        self.model = None

    def on_headers_complete(self) -> None:
        """Hold the request if it seems a usual one."""
        self._unset_keepalive_if_required()  # set by an answer to what came in the same piece
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
        if self.model and self._answered(self.model):
            self.model = None
            return
        if self.model:
            self._hand_on()
        super().on_message_complete()

    def _asked(self) -> Served | None:
        """Give the model that is asked, if nothing but an answer is wanted of this connection."""
        meters, parser = self.state.meters, self.parser
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or self.root_path or self.expect_100_continue or self.flow.write_paused or not meters:
            return None
        if parser.get_method() != b"POST" or parser.get_http_version() != "1.1" or not parser.should_keep_alive():
            return None
        if parser.should_upgrade() or ((meters.log or meters.tracer) and self._forwarded()):
            return None
        path = str(self.url, "latin-1")
        model = lane.champion(self.state, path, self.headers)
        try:
            self.holder = self.state.guard.admit(path, self.headers) if model else ""
        except RequestError:  # refusing is the app's
            return None
        return model

    def _forwarded(self) -> bool:
        """Say whether a proxy may tell whose address it is that is written down."""
        return any(name == b"x-forwarded-for" for name, _ in self.headers)

    def _answered(self, model: Served) -> bool:
        try:
            answer = lane.answered(self.state, model, self.held)
        except Exception:  # noqa: BLE001 - the app meets it again, says so, and logs it
            return False
        if not answer:
            return False
        content, instances = answer
        name = named(self.headers)
        given = b"".join(b"%s: %s\r\n" % pair for pair in self.server_state.default_headers)
        self.transport.write(HEAD % (given, len(content), name) + content)
        self.on_response_complete()
        # Later, and soon: whatever fails there is no fault of the request, as uvicorn would think of it here.
        self.loop.call_soon(self.state.meters.count, self._heard(model, str(name, "ascii"), instances), self.headers)
        return True

    def _heard(self, model: Served, name: str, instances: int) -> Heard:
        return Heard(
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
        self.model = None
        super().on_headers_complete()
        if self.held:
            super().on_body(self.held)
