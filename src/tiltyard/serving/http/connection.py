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

LINE = 8_192  # bytes of the request line, or of a header
HEAD = 32_768  # bytes of a whole head
HEADERS = 100
SLICE = 16_384  # bytes of a body that the parser is given at once
WAITING = 65_536  # bytes that may wait for the answer to an earlier request
PIECES = 32  # parts of a body that are read before other connections have their turn: chunks may be of one byte
BLANK = 4  # bytes of empty lines before a request
DIGITS = 18  # of a length
FRAMING = 4_096  # bytes of chunk headers or trailers without any body between them

HEAD_SECONDS = 10.0  # from the first byte of a head to its end, or from the connection to the first byte
GRACE = 5.0  # seconds in which a body may come as slowly as it likes
RATE = 8_192  # bytes a second of a body, after that
STALLED = 10.0  # seconds in which nothing of a body comes, however fast it came before
LINGER = 2.0  # seconds in which the rest of a refused body is read, so that the client sees the refusal
STUCK = 30.0  # seconds in which a client does not take its answer
END = b"\r\n\r\n"
METHOD = re.compile(rb"[\r\n]*[A-Z]{0,20}( |$)")
# The service speaks no other protocol. The parser would stop reading at an offer of one and lose the body.
UPGRADE, IGNORED = re.compile(rb"\r\nupgrade:", re.IGNORECASE), b"\r\nignored:"  # of one length

BODY, CHUNKS = "body", "chunks"  # what is read after a head


class _Flow(FlowControl):
    """Pauses and resumes reading; what waits here already is reason enough to stay paused."""

    full = False

    def resume_reading(self) -> None:
        if not self.full:
            super().resume_reading()


class BoundedConnection(HttpToolsProtocol):
    """A connection whose memory and time are bounded, whatever its client sends."""

    flow: _Flow

    def __init__(self, app: Starlette, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self.state = app.state
        self.waiting = b""  # read, and not given to the parser yet
        self.place = 0  # in `waiting`: what is before it was given
        self.reading = ""  # the part of a message that comes next: a head if empty
        self.left = 0  # bytes of the body that are still to come
        self.framing = 0
        self.torn = False  # the last byte given was the first half of a line end
        self.ended = False  # the client sends no more
        self.fresh = True  # no request came yet
        self.since = time.monotonic()  # when the client began to keep us waiting
        self.received = 0  # bytes of the body
        self.unsent = 0  # bytes of answers that the client did not take when it was last full
        self.blank = 0  # bytes of empty lines before the request that comes next
        self.heard = self.since  # when the last part of a body came
        self.watch: asyncio.TimerHandle | None = None
        self.queued = False  # whether it waits for its turn

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        super().connection_made(transport)
        self.flow = _Flow(transport)
        self.since = time.monotonic()
        self.watch = self.loop.call_later(1.0, self._look)
        self.state.guard.make_room(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop what was not answered."""
        if self.watch:
            self.watch.cancel()
        self.waiting, self.place = b"", 0
        self._sent()
        super().connection_lost(exc)

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        """Read as far as answers allow."""
        if not self.waiting and not self.reading and not self.busy:
            self.since = time.monotonic()
        self.waiting, self.place = self.waiting[self.place :] + data if self.waiting else data, 0
        if self.queued:
            self._settle()
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
            if pieces >= PIECES or (pieces and not self.reading):  # one request, or a part of one, in a turn
                self._wait_for_turn()
                break
            if not (piece := self._piece()):
                break
            pieces += 1
            self.place += len(piece)
            self._feed(piece)
        self._settle()

    def _wait_for_turn(self) -> None:
        if not self.queued:
            self.queued = True
            self.state.guard.turns.wait((self.client or ("",))[0], self)

    def _may_read(self) -> bool:
        if self.transport.is_closing() or self.place >= len(self.waiting):
            return False
        return bool(self.reading) or not (self.busy or self.flow.write_paused)

    def _settle(self) -> None:
        """Keep what is left, and stop reading from the wire if that is much already."""
        if self.place > WAITING or self.place >= len(self.waiting):
            self.waiting, self.place = self.waiting[self.place :], 0
        if self.transport.is_closing():
            return
        self.flow.full = len(self.waiting) - self.place > WAITING
        if self.flow.full:
            self.flow.pause_reading()
        elif self.flow.read_paused and not self.busy:
            self.flow.resume_reading()
        if self.ended and not self.queued and (self.reading or not self.busy):
            self.transport.close()

    def _piece(self) -> bytes:
        """Return a head, or a part of a body, which never goes beyond the end of its message."""
        if self.reading == BODY:
            return self.waiting[self.place : self.place + min(self.left, SLICE)]
        if self.reading == CHUNKS:  # a message ends with a line
            if self.torn and self.waiting.startswith(b"\n", self.place):
                return b"\n"
            end = self.waiting.find(b"\r\n", self.place, self.place + SLICE)
            return self.waiting[self.place : end + 2 if end >= 0 else self.place + SLICE]
        if not self._skip_blank():
            return b""
        end = self.waiting.find(END, self.place)
        head = self.waiting[self.place : end + len(END)] if end >= 0 else self.waiting[self.place :]
        if not self._bounded(head) or end < 0:
            return b""
        return UPGRADE.sub(IGNORED, head) if b"upgrade:" in head.lower() else head

    def _skip_blank(self) -> bool:
        """Skip what some clients send behind a body; refuse empty lines without end. Return whether a head follows."""
        while (one := self.waiting[self.place : self.place + 1]) in (b"\r", b"\n"):
            self.blank += 1
            if self.blank > BLANK:
                self.refuse(400, "malformed_http", "expected a request of HTTP/1.1")
                return False
            self.place += 1
        return one != b""

    def _bounded(self, head: bytes) -> bool:
        """Refuse a head, whole or not, that is too large or none."""
        if len(head) <= LINE and head.count(b"\r\n") <= HEADERS + 2:
            if END in head or METHOD.match(head):
                return True
            self.refuse(400, "malformed_http", "expected a request of HTTP/1.1")
            return False
        lines = head.lstrip(b"\r\n").split(b"\r\n")
        if len(lines[0]) > LINE:
            self.refuse(414, "address_too_long", f"expected a request line of at most {LINE:,} bytes")
        elif len(lines) > HEADERS + 3:  # the first line, and two empty ones
            self.refuse(431, "too_many_headers", f"expected at most {HEADERS} headers")
        elif len(head) > HEAD or max(map(len, lines)) > LINE:
            text = f"expected headers of at most {LINE:,} bytes each, {HEAD:,} together"
            self.refuse(431, "headers_too_large", text)
        else:
            return True
        return False

    def _feed(self, piece: bytes) -> None:
        if self.reading == CHUNKS:
            self.torn = piece.endswith(b"\r")
            self.framing += len(piece)
        elif self.reading == BODY:
            self.left -= len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:  # CONNECT: it is answered as any other method that is not known
            self.parser, self.reading = httptools.HttpRequestParser(self), ""
            if self.cycle:
                self.cycle.keep_alive = False
        except httptools.HttpParserError:
            self.refuse(400, "malformed_http", "expected a request of HTTP/1.1")
        if self.framing > FRAMING:
            self.refuse(431, "headers_too_large", f"expected chunks of more than their framing of {FRAMING:,} bytes")

    def on_headers_complete(self) -> None:
        """Begin the request."""
        if not self.expect_body():
            return
        super().on_headers_complete()
        if self.reading == CHUNKS:  # trailers are dropped: the app must not take them for headers
            self.headers = []

    def expect_body(self) -> bool:
        """Note how the message goes on; refuse a body that comes in a way that is not known."""
        self.since, self.fresh, self.blank = time.monotonic(), False, 0
        self.heard = self.since
        self.reading, self.left, self.framing, self.received = "", 0, 0, 0
        for name, value in self.headers:
            if name == b"content-length":
                digits = value.strip(b" \t").lstrip(b"0")
                if len(digits) > DIGITS or not (digits.isdigit() or not digits):
                    self.refuse(413, "body_too_large", f"expected a length of at most {DIGITS} digits")
                    return False
                self.left = int(digits or b"0")
                self.reading = BODY if self.left else ""
            elif name == b"transfer-encoding":
                if value.strip(b" \t").lower() != b"chunked":
                    self.refuse(400, "unsupported_encoding", "expected Transfer-Encoding: chunked, or none")
                    return False
                self.reading = CHUNKS
                break
        return True

    def on_body(self, body: bytes) -> None:
        """Count what came."""
        self.framing = 0
        self.received += len(body)
        self.heard = time.monotonic()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Expect a head next."""
        self.reading = ""
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with what waits; from now on the client keeps us waiting."""
        self.server_state.total_requests += 1
        self.since = time.monotonic()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.waiting or self.ended:
            self._wait_for_turn()

    def pause_writing(self) -> None:
        """Count what the client does not take; end the connection if all that is not taken is too much."""
        super().pause_writing()
        self.unsent = self.transport.get_write_buffer_size()
        if not self.state.guard.keep_unsent(self.unsent):
            self.transport.abort()

    def resume_writing(self) -> None:
        """Go on once the client takes its answers again."""
        super().resume_writing()
        self._sent()
        if self.waiting and not self.transport.is_closing():
            self._wait_for_turn()

    def _sent(self) -> None:
        self.state.guard.keep_unsent(-self.unsent)
        self.unsent = 0

    def _look(self) -> None:
        """End the connection of a client that keeps us waiting."""
        if self.transport.is_closing():
            return
        self.watch = self.loop.call_later(1.0, self._look)
        waited = time.monotonic() - self.since
        if self.flow.write_paused:
            if waited > STUCK:
                self.transport.abort()
        elif self.reading:
            self._look_at_body(waited)
        elif not self.busy and not self.queued and (self.waiting or self.fresh):
            if waited > HEAD_SECONDS:
                self.refuse(408, "slow_head", f"expected a whole head within {HEAD_SECONDS:g} seconds")
        elif not self.busy and waited > self.timeout_keep_alive:
            self.transport.close()

    def _look_at_body(self, waited: float) -> None:
        if not self.busy:  # it was refused, and the rest of its body goes nowhere
            if waited > LINGER:
                self.transport.close()
        elif waited > GRACE + self.received / RATE or time.monotonic() - self.heard > STALLED:
            self.refuse(408, "slow_body", f"expected a body of at least {RATE:,} bytes a second")

    @property
    def evictable(self) -> bool:
        """Whether nothing is lost but the client's time if this connection ends."""
        return not self.busy or bool(self.reading)

    @property
    def awaited(self) -> bool:
        """Whether the client has no answer yet to what it is sending."""
        return not self.reading or (self.busy and not self.cycle.response_started)

    def refuse(self, status: int, code: str, message: str) -> None:
        """Answer what never becomes a request, or never ends, and close."""
        if self.transport.is_closing():
            return
        if self.awaited:
            content = msgspec.json.encode({"error": {"code": code, "message": message, "field": ""}})
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(content)
            self.transport.write(STATUS_LINE[status] + head + content)
        self.transport.close()
        if self.state.meters:
            client = (self.client or ("",))[0]
            seconds = time.monotonic() - self.since
            self.state.meters.count(AnsweredRequest("", client, "", "", "", status, seconds))

    def _should_upgrade(self) -> bool:
        return False
