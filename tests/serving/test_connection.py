"""Connection limits: no client can use much memory or time, whatever it sends or does not send."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
import random_models
from raw_http import FAST, GET, HEAD, OPEN_STATES, PLAIN, USUAL_REQUEST, connect, read_all, request_bytes, serve_models
from starlette.applications import Starlette

from tiltyard.errors import RequestError
from tiltyard.serving.http import api_keys, connection
from tiltyard.serving.http.admission import MAX_BUFFERED_BYTES, AdmissionControl
from tiltyard.serving.http.connection import BoundedConnection
from tiltyard.serving.http.limits import Limits


@pytest.fixture(scope="module", params=[FAST, PLAIN], ids=["fast", "plain"])
def port(app: Starlette, request: pytest.FixtureRequest) -> Iterator[int]:
    """Serve with and without the fast path: the same limits hold for both."""
    with serve_models(app, request.param) as found:
        yield found


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n", 414, "address_too_long"),
        (b"GET /" + b"a" * 40_000, 414, "address_too_long"),
        (b"POST / HTTP/1.1\r\na: " + b"b" * 9_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"POST / HTTP/1.1\r\n" + b"n" * 9_000 + b": b\r\n\r\n", 431, "headers_too_large"),
        (b"POST / HTTP/1.1\r\na: " + b"b" * 100_000, 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n", 431, "too_many_headers"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000, 431, "too_many_headers"),
        (b"GET / HTTP/1.1\r\n" + (b"a: " + b"b" * 8_000 + b"\r\n") * 5 + b"\r\n", 431, "headers_too_large"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "malformed_http"),
        (b"HELLO there\r\n\r\n", 400, "malformed_http"),
        (b"\0" * 50, 400, "malformed_http"),
    ],
)
def test_request_heads_are_bounded(port: int, head: bytes, status: int, code: str) -> None:
    """Lines, their number and their total size are limited, even without an end of the head."""
    with connect(port) as client:
        client.sendall(head)
        response, _, body = read_all(client).partition(b"\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(body)["error"]["code"] == code


def test_large_head_within_the_limits_is_accepted(port: int) -> None:
    """A hundred headers, and a header of eight thousand bytes, are accepted."""
    with connect(port) as client:
        client.sendall(request_bytes({"instances": [random_models.IRIS]}, *[b"a: b"] * 90, b"long: " + b"x" * 8_000))
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_head_may_arrive_in_parts_of_any_size(port: int) -> None:
    """A head is accepted in parts of any size, even byte by byte."""
    with connect(port) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for offset in range(len(USUAL_REQUEST)):
            client.sendall(USUAL_REQUEST[offset : offset + 1])
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "request_data", [GET, USUAL_REQUEST, b"POST /v1/models/iris:predict HTTP/1.1\r\ncontent-length: 0\r\n\r\n"]
)
def test_pipelined_requests_need_little_memory(port: int, request_data: bytes) -> None:
    """Fifteen megabytes of pipelined requests with unread responses stay in the client's buffer."""
    process = psutil.Process()
    flood = memoryview(request_data * (15_000_000 // len(request_data)))
    with connect(port) as client, connect(port) as other:
        client.setblocking(False)
        before, sent = process.memory_info().rss, 0
        end = time.monotonic() + 0.7
        while time.monotonic() < end and sent < len(flood):
            try:
                sent += client.send(flood[sent : sent + (1 << 20)])
            except BlockingIOError:
                time.sleep(0.01)
        other.sendall(USUAL_REQUEST)
        assert other.recv(1 << 16).startswith(b"HTTP/1.1 200")
        assert process.memory_info().rss - before < 40_000_000
    assert sent < 12_000_000


def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    """Pipelined requests are all answered in order, fast and slow ones mixed."""
    table = b"\n".join([b"sepal_length,sepal_width,petal_length,petal_width", b"5.1,3.5,1.4,0.2"])
    requests = [
        USUAL_REQUEST,
        GET,
        request_bytes(table, b"content-type: text/csv"),
        request_bytes({"instances": [random_models.IRIS], "explain": True}),
        request_bytes(b"{"),
        HEAD + b'transfer-encoding: chunked\r\n\r\n4\r\n{"a"\r\n3\r\n:1}\r\n0\r\nx: y\r\n\r\n',
    ]
    expected = [200, 200, 200, 200, 400, 400]
    with connect(port) as client:
        client.sendall(b"".join(requests * 5) + b"GET /end HTTP/1.1\r\nconnection: close\r\n\r\n")
        responses = read_all(client, 1 << 30)
    found = [int(part[:3]) for part in responses.split(b"HTTP/1.1 ")[1:]]
    assert found == expected * 5 + [404]


def test_client_that_closes_its_sending_side_receives_its_responses(port: int) -> None:
    """A client that closes its sending side still receives its responses."""
    slow = request_bytes({"instances": [random_models.IRIS] * 900})
    with connect(port) as client:
        client.sendall(USUAL_REQUEST + slow + GET)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client, 1 << 30).count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize("cut", [10, len(HEAD) + 5, len(USUAL_REQUEST) - 3])
def test_incomplete_request_closes_the_connection(port: int, cut: int) -> None:
    """An incomplete request closes its connection at once, without a response."""
    with connect(port) as client:
        client.sendall(USUAL_REQUEST[:cut])
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""


@pytest.mark.parametrize("offer", [b"h2c", b"websocket", b"h2c, websocket", b"tls/1.2"])
@pytest.mark.parametrize("header", [b"upgrade: ", b"Upgrade: ", b"UPGRADE:", b"uPgRaDe: "])
def test_upgrade_header_is_ignored(port: int, offer: bytes, header: bytes) -> None:
    """An Upgrade header is ignored: the request with its body and the next one are answered."""
    request_data = request_bytes(
        {"instances": [random_models.IRIS]}, b"Connection: Upgrade, HTTP2-Settings", header + offer
    )
    with connect(port) as client:
        client.sendall(request_data * 2)
        found = b""
        while found.count(b"predictions") < 2:
            found += client.recv(1 << 16) or pytest.fail("the connection was closed")
    assert found.count(b"HTTP/1.1 200 OK") == 2


def test_connect_method_is_refused(port: int) -> None:
    """CONNECT is refused as an unknown method, and the data after it are not read."""
    with connect(port) as client:
        client.sendall(b"CONNECT example.org:443 HTTP/1.1\r\nhost: x\r\n\r\n" + USUAL_REQUEST)
        response = read_all(client)
    assert response.startswith(b"HTTP/1.1 4")
    assert b"200 OK" not in response


def test_api_key_in_a_trailer_is_ignored(app: Starlette, tmp_path: Any) -> None:
    """Trailers are dropped, since proxies may not have checked them."""
    path = tmp_path / "keys"
    key = api_keys.add(path, "anna").encode()
    body = json.dumps({"instances": [random_models.IRIS]}).encode()
    request_data = HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nx-api-key: %s\r\n\r\n" % (
        len(body),
        body,
        key,
    )
    with serve_models(app, Limits(keys=api_keys.read(path))) as port, connect(port) as client:
        client.sendall(request_data)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    "endless", [b"0\r\n" + b"a: b\r\n" * 10_000, b"0\r\na: " + b"b" * 60_000, b"5;x=" + b"y" * 60_000]
)
def test_trailers_and_chunk_extensions_are_bounded(port: int, endless: bytes) -> None:
    """Trailers and chunk extensions are limited by themselves, since limits of bodies do not apply."""
    with connect(port) as client:
        client.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n" + endless)
        response = read_all(client)
    assert response[9:12] in (b"400", b"431")


@pytest.mark.parametrize(
    "request_data", [GET * 2_000, HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 5_000 + b"0\r\n\r\n"]
)
def test_connections_are_read_in_turns(port: int, request_data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection with very many small parts does not delay the others."""
    parts_per_turn, feed, read = [0], BoundedConnection._feed, BoundedConnection.read

    def counting(own: BoundedConnection, part: bytes) -> None:
        parts_per_turn[-1] += 1
        feed(own, part)

    def reading(own: BoundedConnection) -> None:
        parts_per_turn.append(0)
        read(own)

    monkeypatch.setattr(BoundedConnection, "_feed", counting)
    monkeypatch.setattr(BoundedConnection, "read", reading)
    with connect(port) as client:
        client.sendall(request_data + b"GET /end HTTP/1.1\r\nconnection: close\r\n\r\n")
        read_all(client, 1 << 30)
    assert sum(parts_per_turn) > 1_000
    assert max(parts_per_turn) <= connection.PARTS_PER_TURN


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"content-length: %d ", 200),
        (b"content-length: \t%d", 200),
        (b"content-length: 000000000000000000000000000%d", 200),
        (b"content-length: 9999999999999999999", 413),
        (b"content-length: %d\r\ncontent-length: 5", 400),
        (b"content-length: +%d", 400),
        (b"content-length: ", 400),
        (b"transfer-encoding: gzip, chunked", 400),
        (b"transfer-encoding: identity", 400),
        (b"transfer-encoding: chunked, chunked", 400),
    ],
)
def test_connection_and_parser_agree_on_body_length(port: int, headers: bytes, status: int) -> None:
    """The connection and the parser agree on the length of each body (no request smuggling)."""
    body = json.dumps({"instances": [random_models.IRIS]}).encode()
    request_data = HEAD + (headers % len(body) if b"%" in headers else headers) + b"\r\n\r\n" + body
    with connect(port) as client:
        client.settimeout(5)
        client.sendall(request_data)
        assert client.recv(1 << 16)[9:12] == b"%d" % status


@pytest.mark.parametrize(
    ("blank", "status"), [(b"\r\n", 200), (b"\r\n\r\n", 200), (b"\r\n" * 3, 400), (b"\n" * 5, 400)]
)
def test_only_few_empty_lines_are_accepted_before_a_request(port: int, blank: bytes, status: int) -> None:
    """A few empty lines before a request are accepted, and many are refused."""
    for parts in (
        [blank + USUAL_REQUEST],
        [*(blank[offset : offset + 1] for offset in range(len(blank))), USUAL_REQUEST],
    ):
        with connect(port) as client, contextlib.suppress(OSError):
            for part in parts:
                client.sendall(part)
                time.sleep(0.005)
            assert client.recv(1 << 16)[9:12] == b"%d" % status


def test_slot_of_a_disconnected_client_is_released(app: Starlette) -> None:
    """If a client disconnects, its request slot is free, even if the compute process is stopped."""
    expensive_request = request_bytes({"instances": [random_models.IRIS] * 64, "explain": True})
    with serve_models(app, Limits(routes_only=True)) as port, connect(port) as first:
        first.sendall(expensive_request)
        assert first.recv(1 << 16).startswith(b"HTTP/1.1 200")
        admission, process = OPEN_STATES[-1].admission, OPEN_STATES[-1].pool.quick.process.process
        process.send_signal(signal.SIGSTOP)
        clients = [connect(port) for _ in range(5)]
        for client in clients:
            client.sendall(expensive_request)
        _wait_until(lambda: admission.active == 5)
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing is a reset
            client.close()
        _wait_until(lambda: admission.active == 0)
        assert not admission.buffers
        process.kill()


def test_one_client_may_use_half_of_the_body_memory() -> None:
    """A client may use at most half of the memory for bodies."""
    admission = AdmissionControl(Limits())
    admission.buffer(MAX_BUFFERED_BYTES // 2, "greedy")
    with pytest.raises(RequestError, match="less data at a time"):
        admission.buffer(1, "greedy")
    admission.buffer(MAX_BUFFERED_BYTES // 2, "other")
    with pytest.raises(RequestError, match="less data at a time"):
        admission.buffer(1, "third")
    admission.buffer(-MAX_BUFFERED_BYTES // 2, "greedy")
    admission.buffer(1, "third")
    assert admission.buffers == {"other": MAX_BUFFERED_BYTES // 2, "third": 1}


def _wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()
