"""Slow clients (slowloris), and limits on the number of connections."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import random_models
from raw_http import FAST, HEAD, PLAIN, USUAL_REQUEST, connect, read_all, request_bytes, serve_models
from starlette.applications import Starlette

from tiltyard.serving.http import timeouts
from tiltyard.serving.http.admission import AdmissionControl
from tiltyard.serving.http.limits import Limits


@pytest.fixture(scope="module", params=[FAST, PLAIN], ids=["fast", "plain"])
def port(app: Starlette, request: pytest.FixtureRequest) -> Iterator[int]:
    """Serve with and without the fast path: the same limits hold for both."""
    with serve_models(app, request.param) as found:
        yield found


class TestSlowClients:
    """Slow clients, with short timeouts."""

    @pytest.fixture(autouse=True)
    def _short_timeouts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(timeouts, "HEAD_SECONDS", 0.5)
        monkeypatch.setattr(timeouts, "BODY_GRACE_SECONDS", 0.5)

    @pytest.mark.parametrize(
        ("sent", "code"),
        [
            (b"", "slow_head"),
            (b"POST / HTTP", "slow_head"),
            (USUAL_REQUEST[:-20], "slow_body"),
            (HEAD[:-2], "slow_head"),
        ],
    )
    def test_slow_clients_receive_408(self, port: int, sent: bytes, code: str) -> None:
        """Slow clients receive 408, whether they send some bytes or none."""
        with connect(port) as client:
            if sent:
                client.sendall(sent)
            for _ in range(4):
                time.sleep(0.2)
                with contextlib.suppress(OSError):
                    client.sendall(b"1" if b"content-length" in sent else b"A" if sent else b"")
            response, _, body = read_all(client).partition(b"\r\n\r\n")
        assert response.startswith(b"HTTP/1.1 408")
        assert json.loads(body)["error"]["code"] == code

    def test_connection_is_closed_after_a_refused_body(self, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """The client can read the error, and then the connection is closed."""
        monkeypatch.setattr(timeouts, "LINGER_SECONDS", 0.5)
        with connect(port) as client:
            client.sendall(HEAD + b"content-length: 99999999\r\n\r\n{")
            response = read_all(client)
        assert response.startswith(b"HTTP/1.1 413")
        assert response.count(b"HTTP/1.1") == 1

    def test_stalled_body_is_refused(self, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """A body that stalls is refused, even if its first part was fast."""
        monkeypatch.setattr(timeouts, "BODY_STALL_SECONDS", 0.5)
        with connect(port) as client:
            client.sendall(HEAD + b"content-length: 3000000\r\n\r\n" + b" " * 2_000_000)
            assert read_all(client).startswith(b"HTTP/1.1 408")

    def test_slow_bodies_take_no_request_slots(self, app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two hundred slow bodies take none of the two request slots."""
        monkeypatch.setattr(timeouts, "BODY_GRACE_SECONDS", 30.0)
        with serve_models(app, Limits(concurrency=2)) as port, contextlib.ExitStack() as stack:
            for _ in range(200):
                stack.enter_context(connect(port)).sendall(USUAL_REQUEST[:-20])
            time.sleep(0.2)
            client = stack.enter_context(connect(port))
            for wire in (USUAL_REQUEST, request_bytes({"instances": [random_models.IRIS] * 900})):
                client.sendall(wire)
                assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")

    def test_idle_connection_is_closed(self, app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
        """An idle connection is closed after uvicorn's keep-alive timeout."""
        monkeypatch.setattr("uvicorn.config.Config.timeout_keep_alive", 0.5, raising=False)
        with serve_models(app) as port, connect(port) as client:
            client.sendall(USUAL_REQUEST)
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
            started_at = time.monotonic()
            assert client.recv(1 << 16) == b""
            assert time.monotonic() - started_at < 15


def test_number_of_connections_is_bounded(app: Starlette) -> None:
    """A new connection closes the longest idle one, but none that waits for its response."""
    with serve_models(app, Limits(connections=20)) as port, contextlib.ExitStack() as stack:
        responses: list[bytes] = []

        def ask() -> None:
            with connect(port) as client:
                client.sendall(request_bytes({"instances": [random_models.IRIS] * 64, "explain": True}))
                responses.append(client.recv(1 << 16))

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.1)
        for _ in range(100):
            stack.enter_context(connect(port))
        client = stack.enter_context(connect(port))
        client.sendall(USUAL_REQUEST)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
        thread.join()
        assert responses[0].startswith(b"HTTP/1.1 200")


def test_unread_responses_are_bounded_in_total(app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that exceeds the limit of unread responses is closed; others are served."""
    monkeypatch.setattr("tiltyard.serving.http.admission.MAX_UNSENT_BYTES", 50_000)
    wire = request_bytes({"instances": [random_models.IRIS] * 900})
    with serve_models(app) as port, socket.socket() as client, connect(port) as other:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(30)
        client.connect(("127.0.0.1", port))
        with pytest.raises(ConnectionError):
            client.sendall(wire * 300)
        other.sendall(USUAL_REQUEST)
        assert other.recv(1 << 16).startswith(b"HTTP/1.1 200")


class Reader:
    """A connection that reads nothing."""

    def __init__(self, address: str, closed: list[Reader]) -> None:
        self.address, self.transport = address, self
        self.abort = lambda: closed.append(self)


def test_unread_responses_of_the_largest_client_are_dropped_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection that has been unread the longest is closed, and not one that has just received a response."""
    monkeypatch.setattr("tiltyard.serving.http.admission.MAX_UNSENT_BYTES", 100)
    closed: list[Reader] = []
    admission: Any = AdmissionControl(Limits())
    slow = Reader("plain", closed)
    hostile = [Reader("hostile", closed) for _ in range(3)]
    admission.hold_unsent(slow, 20)
    for one in hostile[:2]:
        admission.hold_unsent(one, 35)
    late = Reader("plain", closed)
    admission.hold_unsent(late, 30)
    assert closed == [hostile[0]]
    admission.hold_unsent(hostile[2], 35)
    assert closed == hostile[:2]
    for one in (slow, late, hostile[2]):
        admission.release_unsent(one)
    assert (admission.unsent, admission.unsent_bytes) == ({}, 0)


def test_bodies_are_bounded_in_total(app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies count while they are received and processed, until the response or a disconnect."""
    monkeypatch.setattr("tiltyard.serving.http.admission.MAX_BUFFERED_BYTES", 4_000_000)
    body = b" " * 1_900_000
    with serve_models(app, PLAIN) as port, connect(port) as first:
        first.sendall(request_bytes(body)[:-10])
        time.sleep(0.3)
        with connect(port) as second:
            second.sendall(request_bytes(body))
            assert read_all(second, 12).startswith(b"HTTP/1.1 429")
        first.close()
        time.sleep(0.3)
        with connect(port) as third:
            third.sendall(request_bytes(body))
            assert read_all(third, 12).startswith(b"HTTP/1.1 400")
