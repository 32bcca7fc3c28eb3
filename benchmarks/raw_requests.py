"""Hostile HTTP requests as bytes on a socket: valid requests with hostile bodies, and malformed HTTP."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from hostile_bodies import BODIES, JSON, Model

RESPONSE_SECONDS = 30.0  # timeout of a response
OPTIONAL_RESPONSE_SECONDS = 0.3  # timeout of a response that HTTP does not require
SLOW_SECONDS = 3.5  # seconds that a slow client keeps a connection
METHODS = ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW", "post", "P\xc3ST", "")


@dataclass(frozen=True)
class Request:
    """Bytes for one connection, and the expected kind of response."""

    kind: str
    data: bytes
    responses: int = 0  # responses that HTTP requires
    slow_parts: int = 0  # parts in which the data are sent slowly
    reset: bool = False  # the client resets the connection instead of reading
    closes: bool = False  # the client closes its sending side


def random_request(rng: Random, models: list[Model]) -> Request:
    """Return a random request: three in four have a hostile body, the others are malformed HTTP."""
    model = rng.choice(models)
    if rng.random() < 0.75:
        make = rng.choice(BODIES)
        body = make(rng, model)
        return Request(make.__name__, _post(body.path(model.name), body.content, body.headers), responses=1)
    return rng.choice(WRAPPINGS)(rng, model)


def _post(path: str, content: bytes, headers: dict[str, str], length: str | None = None) -> bytes:
    all_headers = {"Host": "x", **headers, "Content-Length": str(len(content)) if length is None else length}
    request_lines = [
        f"POST {path} HTTP/1.1",
        *(f"{name}: {value}" for name, value in all_headers.items() if value),
        "",
        "",
    ]
    return "\r\n".join(request_lines).encode("utf-8") + content


def _valid_request(model: Model, **headers: str) -> bytes:
    return _post(f"/v1/models/{model.name}:predict", json.dumps(model.rows).encode(), {"Content-Type": JSON, **headers})


def lengths(rng: Random, model: Model) -> Request:
    """Return a request with a wrong Content-Length."""
    content = json.dumps(model.rows).encode()
    length = rng.choice(
        ["0", "1", str(len(content) + 9), "-1", "1e3", "9" * 30, "x", "0x10", "+5", "5, 5", "5\r\nContent-Length: 6"]
    )
    return Request("lengths", _post(f"/v1/models/{model.name}:predict", content, {}, length))


def chunks(rng: Random, model: Model) -> Request:
    """Return a chunked body, valid or malformed, or with a Content-Length, too."""
    content, head = (
        json.dumps(model.rows).encode(),
        {"Transfer-Encoding": rng.choice(["chunked", "chunked, gzip", "x"])},
    )
    split = rng.randrange(1, len(content))
    encoded = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (content[:split], content[split:]))
    ending = rng.choice(
        [b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"", b"-1\r\n\r\n", b"ffffffffffffffff\r\n", b"zz\r\n", b"7fffffff\r\nx"]
    )
    both = rng.choice(["", "", "5"])
    return Request("chunks", _post(f"/v1/models/{model.name}:predict", b"", head, both) + encoded + ending)


def request_lines(rng: Random, model: Model) -> Request:
    """Return an invalid request line."""
    line = rng.choice(
        [
            *(f"{method} /v1/models/{model.name}:predict HTTP/1.1".encode() for method in METHODS),
            *(
                b"GET / HTTP/9.9",
                b"GET /",
                b"GET  / HTTP/1.1",
                b"GET / HTTP/1.0",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
                b"\0",
            ),
            *(
                b"PRI * HTTP/2.0\r\n\r\nSM",
                b"* / HTTP/1.1",
                b"GET * HTTP/1.1",
                b"GET http://x/v1/models HTTP/1.1",
                rng.randbytes(200),
            ),
        ]
    )
    return Request("request_lines", line + b"\r\nHost: x\r\n\r\n")


def paths(rng: Random, model: Model) -> Request:
    """Return paths that lead out of a folder or nowhere."""
    tricks = [
        *(
            "../../etc/passwd",
            "%2e%2e/%2e%2e/etc/passwd",
            "..%2f..%2f",
            "%00",
            "%ff",
            "%",
            "%zz",
            ".",
            "//",
            "\xff",
            " ",
            "é",
        ),
        *(
            "x" * 10_000,
            "{name}",
            "'\"<script>",
            "iris;a=b",
            "iris%0d%0aX:%20y",
            "?" + "a=b&" * 2000,
            "#",
            "%F0%9F%92%A9",
        ),
    ]
    templates = [
        "/v1/models/{}",
        "/v1/models/{}:predict",
        f"/v1/models/{model.name}/versions/{{}}:predict",
        "/v2/models/{}/infer",
    ]
    templates += [
        f"/v1/models/{model.name}/labels/{{}}",
        "/{}",
        "/static_content/{}",
        "/v1/{}",
        "/v2/{}",
        "/docs.json/{}",
    ]
    path = rng.choice(templates).format(rng.choice(tricks))
    method = rng.choice(["GET", "POST"])
    data = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode(rng.choice(["utf-8", "latin-1"]))
    return Request("paths", data)


def headers(rng: Random, model: Model) -> Request:
    """Return many, long, strange or no headers."""
    strange = {
        "X-Request-Id": rng.choice(["x" * 70, "\x01", "a b", "../..", ""]),
        "Authorization": rng.choice(["Bearer", "Bearer \xff", "Basic x", "x" * 5000]),
        "Content-Type": rng.choice(
            ["", ";", "text/csv;;;", "multipart/form-data", "\xff", "application/" + "x" * 5000]
        ),
        "traceparent": rng.choice(["00-x-y-01", "ff-" + "0" * 32 + "-" + "0" * 16 + "-01", "00-" + "1" * 5000, "\xff"]),
        "Expect": rng.choice(["", "100-continue", "x"]),
        "Accept": rng.choice(["*/*", "text/html", "\0"]),
    }
    flood = {f"X-{number}": "y" * rng.choice([1, 100]) for number in range(rng.choice([0, 0, 50, 1000]))}
    long = {"X-Long": "z" * rng.choice([0, 10_000, 200_000])}
    return Request("headers", _valid_request(model, **strange, **flood, **long))


def pipelined(rng: Random, model: Model) -> Request:
    """Return several requests at once, the last one perhaps incomplete."""
    count, last = (
        rng.choice([2, 5, 20]),
        rng.choice([b"", _valid_request(model)[:-5], b"\0\0\0", b"GET / HTTP/1.1\r\n"]),
    )
    responses = count if last[:1] != b"\0" else 0  # invalid HTTP also invalidates requests that were read with it
    return Request("pipelined", _valid_request(model) * count + last, responses)


def upgrades(rng: Random, model: Model) -> Request:
    """Return a valid request that offers an upgrade to another protocol."""
    name = rng.choice(["Upgrade", "upgrade", "UPGRADE", "uPgRaDe"])
    data = _valid_request(model, Connection="Upgrade, HTTP2-Settings", **{name: rng.choice(["h2c", "websocket", "x"])})
    count = rng.choice([1, 2])
    return Request("upgrades", data * count, count)


def trailers(rng: Random, model: Model) -> Request:
    """Return a chunked body with trailers or chunk extensions."""
    content = json.dumps(model.rows).encode()
    long = [b"a: b\r\n" * 5000, b"a: " + b"b" * 50_000 + b"\r\n"]
    trailer = rng.choice([b"X-API-Key: x\r\n", b"Content-Length: 5\r\n", *long])
    extension = rng.choice([b"", b";x=y", b";" + b"x" * 20_000])
    head = {"Transfer-Encoding": "chunked"}
    body = b"%x%s\r\n%s\r\n0\r\n%s\r\n" % (len(content), extension, content, trailer)
    return Request("trailers", _post(f"/v1/models/{model.name}:predict", b"", head, "") + body)


def endless(rng: Random, model: Model) -> Request:
    """Return a head that is too long, or that never ends."""
    begin = _valid_request(model).partition(b"\r\n\r\n")[0] + b"\r\n"
    more = [b"a: b\r\n" * 50_000, b"a: " + b"b" * 300_000, b"a" * 300_000, b"a: b\r\n" * 200 + b"\r\n"]
    long = b"GET /" + b"a" * rng.choice([9_000, 300_000])
    return Request("endless", rng.choice([*(begin + one for one in more), long, long + b" HTTP/1.1\r\n\r\n"]))


def half_closed(rng: Random, model: Model) -> Request:
    """Return a request after which the client closes its sending side."""
    count = rng.choice([1, 3])
    return Request("half_closed", _valid_request(model) * count, count, closes=True)


def disconnected(rng: Random, model: Model) -> Request:
    """Return a request before, during or after which the client disconnects."""
    data = _valid_request(model)
    return Request("disconnected", data[: rng.choice([0, 1, 30, len(data) - 3, len(data)])], reset=True)


def slow(rng: Random, model: Model) -> Request:
    """Return a head or a body that is sent slowly and never ends."""
    data = _valid_request(model)
    return Request("slow", data[: rng.choice([40, data.index(b"\r\n\r\n") + 10])], slow_parts=8)


WRAPPINGS: tuple[Callable[[Random, Model], Request], ...] = (
    *(lengths, chunks, request_lines, paths, headers, pipelined, disconnected),
    *(lengths, chunks, request_lines, paths, headers, pipelined, disconnected),
    *(lengths, chunks, request_lines, paths, headers, pipelined, slow),
    *(upgrades, trailers, endless, half_closed),
    *(upgrades, trailers, endless, half_closed),
)


def send(port: int, request: Request) -> list[int]:
    """Send a request over a new connection; return the statuses of the responses, if any."""
    with socket.create_connection(("127.0.0.1", port), timeout=RESPONSE_SECONDS) as connection:
        with contextlib.suppress(OSError):  # the request may be refused, with a response, before it was read completely
            _send_data(connection, request)
        if request.closes:
            connection.shutdown(socket.SHUT_WR)
        if request.reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return []
        return _read_statuses(connection, request)


def _send_data(connection: socket.socket, request: Request) -> None:
    size = max(1, -(-len(request.data) // (request.slow_parts or 1)))
    for start in range(0, len(request.data), size):
        connection.sendall(request.data[start : start + size])
        if request.slow_parts:
            time.sleep(SLOW_SECONDS / request.slow_parts)


def _read_statuses(connection: socket.socket, request: Request) -> list[int]:
    """Read until all expected responses have arrived; if one more is possible, wait for it."""
    data = b""
    connection.settimeout(
        RESPONSE_SECONDS if request.responses else SLOW_SECONDS if request.slow_parts else OPTIONAL_RESPONSE_SECONDS
    )
    with contextlib.suppress(OSError):
        while len(statuses(data)) < max(1, request.responses) and (part := connection.recv(1 << 16)):
            data += part
    return statuses(data)


def statuses(data: bytes) -> list[int]:
    """Return the statuses in the received bytes: each response is a head and a body of Content-Length bytes."""
    found = []
    while data.startswith(b"HTTP/1.") and b"\r\n\r\n" in data:
        head, _, data = data.partition(b"\r\n\r\n")
        found.append(int(head[9:12]))
        length = head.lower().partition(b"\r\ncontent-length:")[2].split(b"\r\n")[0].strip()
        data = data[int(length or 0) :]
    return found
