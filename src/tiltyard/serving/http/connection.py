"""A connection with bounds: uvicorn's own has none on heads, pipelined requests and slow bodies.

A head is read whole before it is parsed, one request of a connection is answered before the next is parsed, and once a
second each connection looks whether its client keeps it waiting for too long.
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

from tiltyard.serving.http.answered_request import AnsweredRequest

MAX_LINE_BYTES = 8_192  # bytes of the request line, or of a header
MAX_HEAD_BYTES = 32_768  # bytes of a whole head
MAX_HEADERS = 100
MAX_BODY_PART_BYTES = 16_384  # bytes of a body that the parser is given at once
MAX_PENDING_BYTES = 65_536  # bytes that may wait for the answer to an earlier request
PARTS_PER_TURN = 32  # parts of a body that are read before other connections have their turn: chunks may be of one byte
MAX_BLANK_BYTES = 4  # bytes of empty lines before a request
MAX_LENGTH_DIGITS = 18  # of a length
MAX_FRAMING_BYTES = 4_096  # bytes of chunk headers or trailers without any body between them

HEAD_SECONDS = 10.0  # from the first byte of a head to its end, or from the connection to the first byte
BODY_GRACE_SECONDS = 5.0  # seconds in which a body may come as slowly as it likes
MIN_BODY_BYTES_PER_SECOND = 8_192  # bytes a second of a body, after that
BODY_STALL_SECONDS = 10.0  # seconds in which nothing of a body comes, however fast it came before
LINGER_SECONDS = 2.0  # seconds in which the rest of a refused body is read, so that the client sees the refusal
WRITE_STALL_SECONDS = 30.0  # seconds in which a client does not take its answer
HEAD_END = b"\r\n\r\n"
METHOD_START = re.compile(rb"[\r\n]*[A-Z]{0,20}( |$)")
# The service speaks no other protocol. The parser would stop reading at an offer of one and lose the body.
UPGRADE, IGNORED = re.compile(rb"\r\nupgrade:", re.IGNORECASE), b"\r\nignored:"  # of one length

BODY, CHUNKS = "body", "chunks"  # what is read after a head


class _FlowControl(FlowControl):
    """Pauses and resumes reading; what waits here already is reason enough to stay paused."""

    buffer_full = False

    def resume_reading(self) -> None:
        if not self.buffer_full:
            super().resume_reading()


class BoundedConnection(HttpToolsProtocol):
    """A connection whose memory and time are bounded, whatever its client sends."""

    flow: _FlowControl

    def __init__(self, app: Starlette, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self.state = app.state
        self.pending = b""  # read, and not given to the parser yet
        self.offset = 0  # in `waiting`: what is before it was given
        self.expecting = ""  # the part of a message that comes next: a head if empty
        self.remaining = 0  # bytes of the body that are still to come
        self.framing_bytes = 0
        self.split_line_end = False  # the last byte given was the first half of a line end
        self.ended = False  # the client sends no more
        self.is_new = True  # no request came yet
        self.waiting_since = time.monotonic()  # when the client began to keep us waiting
        self.body_bytes = 0  # bytes of the body
        self.unsent_bytes = 0  # bytes of answers that the client did not take when it was last full
        self.blank_bytes = 0  # bytes of empty lines before the request that comes next
        self.last_body_at = self.waiting_since  # when the last part of a body came
        self.timer: asyncio.TimerHandle | None = None
        self.queued = False  # whether it waits for its turn

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        super().connection_made(transport)
        self.flow = _FlowControl(transport)
        self.waiting_since = time.monotonic()
        self.timer = self.loop.call_later(1.0, self._check_timeouts)
        self.state.admission.evict_if_full(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop what was not answered."""
        if self.timer:
            self.timer.cancel()
        self.pending, self.offset = b"", 0
        self._clear_unsent()
        super().connection_lost(exc)

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        """Read as far as answers allow."""
        if not self.pending and not self.expecting and not self.busy:
            self.waiting_since = time.monotonic()
        self.pending, self.offset = self.pending[self.offset :] + data if self.pending else data, 0
        if self.queued:
            self._update_flow()
        else:
            self.read()

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio closes the connection unless it is true
        """Keep the other direction open while there is something to answer."""
        self.ended = True
        if not self.queued:
            self.read()
        return True

    def read(self) -> None:
        """Feed the parser what waits, piece by piece."""
        self.queued, pieces = False, 0
        while self._may_read():
            if pieces >= PARTS_PER_TURN or (pieces and not self.expecting):  # one request, or a part of one, in a turn
                self._wait_for_turn()
                break
            if not (piece := self._next_part()):
                break
            pieces += 1
            self.offset += len(piece)
            self._feed(piece)
        self._update_flow()

    def _wait_for_turn(self) -> None:
        if not self.queued:
            self.queued = True
            self.state.admission.round_robin.wait((self.client or ("",))[0], self)

    def _may_read(self) -> bool:
        if self.transport.is_closing() or self.offset >= len(self.pending):
            return False
        return bool(self.expecting) or not (self.busy or self.flow.write_paused)

    def _update_flow(self) -> None:
        """Keep what is left, and stop reading from the wire if that is much already."""
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
        """Return a head, or a part of a body, which never goes beyond the end of its message."""
        if self.expecting == BODY:
            return self.pending[self.offset : self.offset + min(self.remaining, MAX_BODY_PART_BYTES)]
        if self.expecting == CHUNKS:  # a message ends with a line
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
        """Skip what some clients send behind a body; refuse empty lines without end. Return whether a head follows."""
        while (one := self.pending[self.offset : self.offset + 1]) in (b"\r", b"\n"):
            self.blank_bytes += 1
            if self.blank_bytes > MAX_BLANK_BYTES:
                self.refuse(400, "malformed_http", "expected a request of HTTP/1.1")
                return False
            self.offset += 1
        return one != b""

    def _check_head(self, head: bytes) -> bool:
        """Refuse a head, whole or not, that is too large or none."""
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

    def _feed(self, piece: bytes) -> None:
        if self.expecting == CHUNKS:
            self.split_line_end = piece.endswith(b"\r")
            self.framing_bytes += len(piece)
        elif self.expecting == BODY:
            self.remaining -= len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:  # CONNECT: it is answered as any other method that is not known
            self.parser, self.expecting = httptools.HttpRequestParser(self), ""
            if self.cycle:
                self.cycle.keep_alive = False
        except httptools.HttpParserError:
            self.refuse(400, "malformed_http", "expected a request of HTTP/1.1")
        if self.framing_bytes > MAX_FRAMING_BYTES:
            self.refuse(
                431, "headers_too_large", f"expected chunks of more than their framing of {MAX_FRAMING_BYTES:,} bytes"
            )

    def on_headers_complete(self) -> None:
        """Begin the request."""
        if not self.prepare_body():
            return
        super().on_headers_complete()
        if self.expecting == CHUNKS:  # trailers are dropped: the app must not take them for headers
            self.headers = []

    def prepare_body(self) -> bool:
        """Note how the message goes on; refuse a body that comes in a way that is not known."""
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
        """Count what came."""
        self.framing_bytes = 0
        self.body_bytes += len(body)
        self.last_body_at = time.monotonic()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Expect a head next."""
        self.expecting = ""
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with what waits; from now on the client keeps us waiting."""
        self.server_state.total_requests += 1
        self.waiting_since = time.monotonic()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pending or self.ended:
            self._wait_for_turn()

    def pause_writing(self) -> None:
        """Count what the client does not take; end the connection if all that is not taken is too much."""
        super().pause_writing()
        self.unsent_bytes = self.transport.get_write_buffer_size()
        if not self.state.admission.count_unsent(self.unsent_bytes):
            self.transport.abort()

    def resume_writing(self) -> None:
        """Go on once the client takes its answers again."""
        super().resume_writing()
        self._clear_unsent()
        if self.pending and not self.transport.is_closing():
            self._wait_for_turn()

    def _clear_unsent(self) -> None:
        self.state.admission.count_unsent(-self.unsent_bytes)
        self.unsent_bytes = 0

    def _check_timeouts(self) -> None:
        """End the connection of a client that keeps us waiting."""
        if self.transport.is_closing():
            return
        self.timer = self.loop.call_later(1.0, self._check_timeouts)
        waited = time.monotonic() - self.waiting_since
        if self.flow.write_paused:
            if waited > WRITE_STALL_SECONDS:
                self.transport.abort()
        elif self.expecting:
            self._check_body_timeout(waited)
        elif not self.busy and not self.queued and (self.pending or self.is_new):
            if waited > HEAD_SECONDS:
                self.refuse(408, "slow_head", f"expected a whole head within {HEAD_SECONDS:g} seconds")
        elif not self.busy and waited > self.timeout_keep_alive:
            self.transport.close()

    def _check_body_timeout(self, waited: float) -> None:
        if not self.busy:  # it was refused, and the rest of its body goes nowhere
            if waited > LINGER_SECONDS:
                self.transport.close()
        elif (
            waited > BODY_GRACE_SECONDS + self.body_bytes / MIN_BODY_BYTES_PER_SECOND
            or time.monotonic() - self.last_body_at > BODY_STALL_SECONDS
        ):
            self.refuse(408, "slow_body", f"expected a body of at least {MIN_BODY_BYTES_PER_SECOND:,} bytes a second")

    @property
    def evictable(self) -> bool:
        """Whether nothing is lost but the client's time if this connection ends."""
        return not self.busy or bool(self.expecting)

    @property
    def expects_response(self) -> bool:
        """Whether the client has no answer yet to what it is sending."""
        return not self.expecting or (self.busy and not self.cycle.response_started)

    def refuse(self, status: int, code: str, message: str) -> None:
        """Answer what never becomes a request, or never ends, and close."""
        if self.transport.is_closing():
            return
        if self.expects_response:
            content = msgspec.json.encode({"error": {"code": code, "message": message, "field": ""}})
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(content)
            self.transport.write(STATUS_LINE[status] + head + content)
        self.transport.close()
        if self.state.metrics:
            client = (self.client or ("",))[0]
            seconds = time.monotonic() - self.waiting_since
            self.state.metrics.count(AnsweredRequest("", client, "", "", "", status, seconds))

    def _should_upgrade(self) -> bool:
        return False
