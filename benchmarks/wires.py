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

from corpus import BODIES, JSON, Model

ANSWER = 30.0  # seconds
PATIENCE = 0.3  # seconds, where an answer need not come
SLOW = 3.5  # seconds that a slow client keeps a connection
METHODS = ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW", "post", "P\xc3ST", "")


@dataclass(frozen=True)
class Request:
    """Bytes for one connection, and the expected kind of response."""

    kind: str
    wire: bytes
    answers: int = 0  # that must come, where HTTP leaves no doubt
    drips: int = 0  # parts in which it is sent, slowly
    reset: bool = False  # the client breaks the connection instead of reading
    closes: bool = False  # the client closes its sending side


def dealt(dice: Random, models: list[Model]) -> Request:
    """Return a random request: three in four have a hostile body, the others are malformed HTTP."""
    model = dice.choice(models)
    if dice.random() < 0.75:
        make = dice.choice(BODIES)
        body = make(dice, model)
        path = f"/v2/models/{model.name}/infer" if body.protocol == "V2" else f"/v1/models/{model.name}:predict"
        return Request(make.__name__, _post(path, body.content, body.headers), answers=1)
    return dice.choice(WRAPPINGS)(dice, model)


def _post(path: str, content: bytes, headers: dict[str, str], length: str | None = None) -> bytes:
    given = {"Host": "x", **headers, "Content-Length": str(len(content)) if length is None else length}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items() if value), "", ""]
    return "\r\n".join(lines).encode("utf-8") + content


def _good(model: Model, **headers: str) -> bytes:
    return _post(f"/v1/models/{model.name}:predict", json.dumps(model.rows).encode(), {"Content-Type": JSON, **headers})


def lengths(dice: Random, model: Model) -> Request:
    """Return a request with a wrong Content-Length."""
    content = json.dumps(model.rows).encode()
    said = dice.choice(
        ["0", "1", str(len(content) + 9), "-1", "1e3", "9" * 30, "x", "0x10", "+5", "5, 5", "5\r\nContent-Length: 6"]
    )
    return Request("lengths", _post(f"/v1/models/{model.name}:predict", content, {}, said))


def chunks(dice: Random, model: Model) -> Request:
    """Return a chunked body, valid or malformed, or with a Content-Length, too."""
    content, head = (
        json.dumps(model.rows).encode(),
        {"Transfer-Encoding": dice.choice(["chunked", "chunked, gzip", "x"])},
    )
    place = dice.randrange(1, len(content))
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (content[:place], content[place:]))
    ended = dice.choice(
        [b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"", b"-1\r\n\r\n", b"ffffffffffffffff\r\n", b"zz\r\n", b"7fffffff\r\nx"]
    )
    both = dice.choice(["", "", "5"])
    return Request("chunks", _post(f"/v1/models/{model.name}:predict", b"", head, both) + pieces + ended)


def lines(dice: Random, model: Model) -> Request:
    """Return an invalid request line."""
    line = dice.choice(
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
                dice.randbytes(200),
            ),
        ]
    )
    return Request("lines", line + b"\r\nHost: x\r\n\r\n")


def paths(dice: Random, model: Model) -> Request:
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
    where = [
        "/v1/models/{}",
        "/v1/models/{}:predict",
        f"/v1/models/{model.name}/versions/{{}}:predict",
        "/v2/models/{}/infer",
    ]
    where += [f"/v1/models/{model.name}/labels/{{}}", "/{}", "/static_content/{}", "/v1/{}", "/v2/{}", "/docs.json/{}"]
    path = dice.choice(where).format(dice.choice(tricks))
    method = dice.choice(["GET", "POST"])
    wire = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode(dice.choice(["utf-8", "latin-1"]))
    return Request("paths", wire)


def headers(dice: Random, model: Model) -> Request:
    """Return many, long, strange or no headers."""
    strange = {
        "X-Request-Id": dice.choice(["x" * 70, "\x01", "a b", "../..", ""]),
        "Authorization": dice.choice(["Bearer", "Bearer \xff", "Basic x", "x" * 5000]),
        "Content-Type": dice.choice(
            ["", ";", "text/csv;;;", "multipart/form-data", "\xff", "application/" + "x" * 5000]
        ),
        "traceparent": dice.choice(
            ["00-x-y-01", "ff-" + "0" * 32 + "-" + "0" * 16 + "-01", "00-" + "1" * 5000, "\xff"]
        ),
        "Expect": dice.choice(["", "100-continue", "x"]),
        "Accept": dice.choice(["*/*", "text/html", "\0"]),
    }
    flood = {f"X-{number}": "y" * dice.choice([1, 100]) for number in range(dice.choice([0, 0, 50, 1000]))}
    long = {"X-Long": "z" * dice.choice([0, 10_000, 200_000])}
    return Request("headers", _good(model, **strange, **flood, **long))


def pipelined(dice: Random, model: Model) -> Request:
    """Return several requests at once, the last one perhaps incomplete."""
    several, last = dice.choice([2, 5, 20]), dice.choice([b"", _good(model)[:-5], b"\0\0\0", b"GET / HTTP/1.1\r\n"])
    answers = several if last[:1] != b"\0" else 0  # what is no HTTP spoils what was read with it
    return Request("pipelined", _good(model) * several + last, answers)


def offers(dice: Random, model: Model) -> Request:
    """Return a valid request that offers an upgrade to another protocol."""
    name = dice.choice(["Upgrade", "upgrade", "UPGRADE", "uPgRaDe"])
    wire = _good(model, Connection="Upgrade, HTTP2-Settings", **{name: dice.choice(["h2c", "websocket", "x"])})
    several = dice.choice([1, 2])
    return Request("offers", wire * several, several)


def trailers(dice: Random, model: Model) -> Request:
    """Return a chunked body with trailers or chunk extensions."""
    content = json.dumps(model.rows).encode()
    long = [b"a: b\r\n" * 5000, b"a: " + b"b" * 50_000 + b"\r\n"]
    behind = dice.choice([b"X-API-Key: x\r\n", b"Content-Length: 5\r\n", *long])
    extension = dice.choice([b"", b";x=y", b";" + b"x" * 20_000])
    head = {"Transfer-Encoding": "chunked"}
    body = b"%x%s\r\n%s\r\n0\r\n%s\r\n" % (len(content), extension, content, behind)
    return Request("trailers", _post(f"/v1/models/{model.name}:predict", b"", head, "") + body)


def endless(dice: Random, model: Model) -> Request:
    """Return a head that is too long, or that never ends."""
    begin = _good(model).partition(b"\r\n\r\n")[0] + b"\r\n"
    more = [b"a: b\r\n" * 50_000, b"a: " + b"b" * 300_000, b"a" * 300_000, b"a: b\r\n" * 200 + b"\r\n"]
    long = b"GET /" + b"a" * dice.choice([9_000, 300_000])
    return Request("endless", dice.choice([*(begin + one for one in more), long, long + b" HTTP/1.1\r\n\r\n"]))


def half_closed(dice: Random, model: Model) -> Request:
    """Return a request after which the client closes its sending side."""
    several = dice.choice([1, 3])
    return Request("half_closed", _good(model) * several, several, closes=True)


def left(dice: Random, model: Model) -> Request:
    """Return a request before, during or after which the client disconnects."""
    wire = _good(model)
    return Request("left", wire[: dice.choice([0, 1, 30, len(wire) - 3, len(wire)])], reset=True)


def slow(dice: Random, model: Model) -> Request:
    """Return a head or a body that is sent slowly and never ends."""
    wire = _good(model)
    return Request("slow", wire[: dice.choice([40, wire.index(b"\r\n\r\n") + 10])], drips=8)


WRAPPINGS: tuple[Callable[[Random, Model], Request], ...] = (
    *(lengths, chunks, lines, paths, headers, pipelined, left),
    *(lengths, chunks, lines, paths, headers, pipelined, left),
    *(lengths, chunks, lines, paths, headers, pipelined, slow),
    *(offers, trailers, endless, half_closed),
    *(offers, trailers, endless, half_closed),
)


def sent(port: int, request: Request) -> list[int]:
    """Send a request over a new connection; return the statuses of the responses, if any."""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER) as connection:
        with contextlib.suppress(OSError):  # it is refused before all is read: the answer may be there
            _send(connection, request)
        if request.closes:
            connection.shutdown(socket.SHUT_WR)
        if request.reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return []
        return _received(connection, request)


def _send(connection: socket.socket, request: Request) -> None:
    size = max(1, -(-len(request.wire) // (request.drips or 1)))
    for start in range(0, len(request.wire), size):
        connection.sendall(request.wire[start : start + size])
        if request.drips:
            time.sleep(SLOW / request.drips)


def _received(connection: socket.socket, request: Request) -> list[int]:
    """Read until all expected responses have arrived; if one more is possible, wait for it."""
    data = b""
    connection.settimeout(ANSWER if request.answers else SLOW if request.drips else PATIENCE)
    with contextlib.suppress(OSError):
        while len(statuses(data)) < max(1, request.answers) and (part := connection.recv(1 << 16)):
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
