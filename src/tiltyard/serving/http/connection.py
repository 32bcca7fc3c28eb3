"""Connections with limits on request heads, bodies and pipelined requests, which uvicorn lacks.

A request head is received completely before it is parsed, one request of a connection is answered before the next is
parsed, and each connection checks once a second whether its client is too slow (slowloris).
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import httptools
import msgspec
from starlette.applications import Starlette
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tiltyard.serving.http import timeouts
from tiltyard.serving.http.answered_request import AnsweredRequest

MAX_LINE_BYTES = 8_192  # of the request line, or of a header
MAX_HEAD_BYTES = 32_768  # of the request line and all headers
MAX_HEADERS = 100
MAX_BODY_PART_BYTES = 16_384  # passed to the parser at once
MAX_PENDING_BYTES = 65_536  # received while an earlier request is answered
PARTS_PER_TURN = 32  # of a body, before other connections have their turn: a chunk may be a single byte
PAUSE_SECONDS = 0.02  # without a request, after which a connection does not wait behind those that never pause
MAX_BLANK_BYTES = 4  # of empty lines before a request
MAX_LENGTH_DIGITS = 18  # of Content-Length
MAX_FRAMING_BYTES = 4_096  # of chunk headers or trailers without any body between them

HEAD_END = b"\r\n\r\n"
METHOD_START = re.compile(rb"[\r\n]*[A-Z]{0,20}( |$)")
# The Upgrade header is masked: the parser would stop at it and lose the body.
UPGRADE, IGNORED = re.compile(rb"\r\nupgrade:", re.IGNORECASE), b"\r\nignored:"  # equal lengths

BODY, CHUNKS = "body", "chunks"  # what follows a head


class _FlowControl(FlowControl):
    """Flow control that stays paused while the buffer of received data is full."""

    buffer_full = False

    def resume_reading(self) -> None:
        if not self.buffer_full:
            super().resume_reading()


class BoundedConnection(HttpToolsProtocol):
    """An HTTP connection with limits on memory and time, whatever its client sends."""

    flow: _FlowControl

    def __init__(self, app: Starlette, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self.state = app.state
        self.pending = b""  # received and not yet parsed
        self.offset = 0  # in `pending`: data before it were parsed
        self.expecting = ""  # what comes next: BODY, CHUNKS, or a head if empty
        self.remaining = 0  # bytes of the body
        self.framing_bytes = 0
        self.split_line_end = False  # the last byte parsed was the first of a line end
        self.ended = False  # the client has closed its side
        self.is_new = True  # no request received yet
        self.waiting_since = time.monotonic()  # when the service began to wait for the client
        self.body_bytes = 0  # received
        self.blank_bytes = 0  # empty lines before the next request
        self.last_body_at = self.waiting_since  # when the last part of a body was received
        self.timer: asyncio.TimerHandle | None = None
        self.queued = False  # whether the connection waits for its turn
        self.paused = False  # whether its client paused before it sent what is pending

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer, and evict another connection if there are too many."""
        super().connection_made(transport)
        self.flow = _FlowControl(transport)
        self.waiting_since = time.monotonic()
        self.timer = self.loop.call_later(1.0, self._check_timeouts)
        self.state.admission.evict_if_full(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timer and drop the received data."""
        if self.timer:
            self.timer.cancel()
        self.pending, self.offset = b"", 0
        self.state.admission.release_unsent(self)
        super().connection_lost(exc)

    @property
    def address(self) -> str:
        """The address of the client."""
        return (self.client or ("",))[0]

    @property
    def busy(self) -> bool:
        """Whether the response to a request is not complete yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        """Buffer data, and parse it unless an earlier request is still answered."""
        if not self.pending and not self.expecting and not self.busy:
            now = time.monotonic()
            self.paused = not self.is_new and now - self.waiting_since > PAUSE_SECONDS
            self.waiting_since = now
        self.pending, self.offset = self.pending[self.offset :] + data if self.pending else data, 0
        if not self.queued and self.state.admission.round_robin.has_free_turn(self.loop.time()):
            self.read()
        else:
            self._wait_for_turn()
            self._update_flow()

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio closes the connection if it is falsy
        """Keep the connection open until the pending requests are answered."""
        self.ended = True
        if not self.queued:
            self.read()
        return True

    def read(self) -> None:
        """Parse the pending data part by part, within the limits of a turn."""
        self.queued, parts = False, 0
        while self._may_read():
            if parts >= PARTS_PER_TURN or (parts and not self.expecting):  # at most one request in a turn
                self._wait_for_turn()
                break
            if not (part := self._next_part()):
                break
            parts += 1
            self.offset += len(part)
            self._feed(part)
        self._update_flow()

    def _wait_for_turn(self) -> None:
        if not self.queued:
            self.queued = True
            self.state.admission.round_robin.wait((self.address, self.paused), self)

    def _may_read(self) -> bool:
        if self.transport.is_closing() or self.offset >= len(self.pending):
            return False
        return bool(self.expecting) or not (self.busy or self.flow.write_paused)

    def _update_flow(self) -> None:
        """Drop the parsed data, and pause or resume reading by the size of the rest."""
        if self.offset > MAX_PENDING_BYTES or self.offset >= len(self.pending):
            self.pending, self.offset = self.pending[self.offset :], 0
        if self.transport.is_closing():
            return
        self.flow.buffer_full = len(self.pending) - self.offset > MAX_PENDING_BYTES
        if self.flow.buffer_full:
            self.flow.pause_reading()
        elif self.flow.read_paused and not self.busy:
            self.flow.resume_reading()
        if self.ended and not self.queued and (self.expecting or not self.busy):
            self.transport.close()

    def _next_part(self) -> bytes:
        """Return a complete head or a part of a body, never beyond the end of the message."""
        if self.expecting == BODY:
            return self.pending[self.offset : self.offset + min(self.remaining, MAX_BODY_PART_BYTES)]
        if self.expecting == CHUNKS:  # a chunked body ends with a line
            if self.split_line_end and self.pending.startswith(b"\n", self.offset):
                return b"\n"
            end = self.pending.find(b"\r\n", self.offset, self.offset + MAX_BODY_PART_BYTES)
            return self.pending[self.offset : end + 2 if end >= 0 else self.offset + MAX_BODY_PART_BYTES]
        if not self._skip_blank_lines():
            return b""
        end = self.pending.find(HEAD_END, self.offset)
        head = self.pending[self.offset : end + len(HEAD_END)] if end >= 0 else self.pending[self.offset :]
        if not self._check_head(head) or end < 0:
            return b""
        return UPGRADE.sub(IGNORED, head) if b"upgrade:" in head.lower() else head

    def _skip_blank_lines(self) -> bool:
        """Skip a few empty lines, which some clients send after a body; return whether a head follows."""
        while (byte := self.pending[self.offset : self.offset + 1]) in (b"\r", b"\n"):
            self.blank_bytes += 1
            if self.blank_bytes > MAX_BLANK_BYTES:
                self.refuse(400, "malformed_http", "expected a request of HTTP/1.1")
                return False
            self.offset += 1
        return byte != b""

    def _check_head(self, head: bytes) -> bool:
        """Return whether a head, complete or not, is within the limits; refuse it if not."""
        if len(head) <= MAX_LINE_BYTES and head.count(b"\r\n") <= MAX_HEADERS + 2:
            if HEAD_END in head or METHOD_START.match(head):
                return True
            self.refuse(400, "malformed_http", "expected a request of HTTP/1.1")
            return False
        lines = head.lstrip(b"\r\n").split(b"\r\n")
        if len(lines[0]) > MAX_LINE_BYTES:
            self.refuse(414, "address_too_long", f"expected a request line of at most {MAX_LINE_BYTES:,} bytes")
        elif len(lines) > MAX_HEADERS + 3:  # the first line, and two empty ones
            self.refuse(431, "too_many_headers", f"expected at most {MAX_HEADERS} headers")
        elif len(head) > MAX_HEAD_BYTES or max(map(len, lines)) > MAX_LINE_BYTES:
            text = f"expected headers of at most {MAX_LINE_BYTES:,} bytes each, {MAX_HEAD_BYTES:,} together"
            self.refuse(431, "headers_too_large", text)
        else:
            return True
        return False

    def _feed(self, part: bytes) -> None:
        if self.expecting == CHUNKS:
            self.split_line_end = part.endswith(b"\r")
            self.framing_bytes += len(part)
        elif self.expecting == BODY:
            self.remaining -= len(part)
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade:  # CONNECT: treated like any other unknown method
            self.parser, self.expecting = httptools.HttpRequestParser(self), ""
            if self.cycle:
                self.cycle.keep_alive = False
        except httptools.HttpParserError:
            self.refuse(400, "malformed_http", "expected a request of HTTP/1.1")
        if self.framing_bytes > MAX_FRAMING_BYTES:
            self.refuse(
                431,
                "headers_too_large",
                f"expected at most {MAX_FRAMING_BYTES:,} bytes of chunk headers or trailers without data",
            )

    def on_headers_complete(self) -> None:
        """Start the request; ignore trailers."""
        if not self.prepare_body():
            return
        super().on_headers_complete()
        if self.expecting == CHUNKS:  # these are trailers, which the app must not take for headers
            self.headers = []

    def prepare_body(self) -> bool:
        """Determine how the body is framed; refuse an invalid length or an unknown transfer encoding."""
        self.waiting_since, self.is_new, self.blank_bytes = time.monotonic(), False, 0
        self.last_body_at = self.waiting_since
        self.expecting, self.remaining, self.framing_bytes, self.body_bytes = "", 0, 0, 0
        for name, value in self.headers:
            if name == b"content-length":
                digits = value.strip(b" \t").lstrip(b"0")
                if len(digits) > MAX_LENGTH_DIGITS or not (digits.isdigit() or not digits):
                    self.refuse(413, "body_too_large", f"expected a length of at most {MAX_LENGTH_DIGITS} digits")
                    return False
                self.remaining = int(digits or b"0")
                self.expecting = BODY if self.remaining else ""
            elif name == b"transfer-encoding":
                if value.strip(b" \t").lower() != b"chunked":
                    self.refuse(400, "unsupported_encoding", "expected Transfer-Encoding: chunked, or none")
                    return False
                self.expecting = CHUNKS
                break
        return True

    def on_body(self, body: bytes) -> None:
        """Count the received bytes and note the time."""
        self.framing_bytes = 0
        self.body_bytes += len(body)
        self.last_body_at = time.monotonic()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Expect a head next."""
        self.expecting = ""
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Continue with pending data; from now on the service waits for the client."""
        self.server_state.total_requests += 1
        self.waiting_since = time.monotonic()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pending or self.ended:
            self._wait_for_turn()

    def pause_writing(self) -> None:
        """Count unread response bytes; if those of all connections exceed the limit, the slowest ones are closed."""
        super().pause_writing()
        self.state.admission.hold_unsent(self, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Continue once the client reads its responses again."""
        super().resume_writing()
        self.state.admission.release_unsent(self)
        if self.pending and not self.transport.is_closing():
            self._wait_for_turn()

    def _check_timeouts(self) -> None:
        if not self.transport.is_closing():
            self.timer = self.loop.call_later(1.0, self._check_timeouts)
            timeouts.check(self)

    @property
    def evictable(self) -> bool:
        """Whether this connection may be closed: no complete request waits for its response."""
        return not self.busy or bool(self.expecting)

    @property
    def expects_response(self) -> bool:
        """Whether a response has not been started for what the client is sending."""
        return not self.expecting or (self.busy and not self.cycle.response_started)

    def refuse(self, status: int, code: str, message: str) -> None:
        """Respond with an error to an invalid or incomplete request, and close the connection."""
        if self.transport.is_closing():
            return
        if self.expects_response:
            content = msgspec.json.encode({"error": {"code": code, "message": message, "field": ""}})
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(content)
            self.transport.write(STATUS_LINE[status] + head + content)
        self.transport.close()
        if self.state.metrics:
            seconds = time.monotonic() - self.waiting_since
            self.state.metrics.count(AnsweredRequest("", self.address, "", "", "", status, seconds))

    def _should_upgrade(self) -> bool:
        return False
