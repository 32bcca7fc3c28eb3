"""The service on a socket as `tiltyard serve` has it, and requests as bytes."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import random_models
import uvicorn
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from tiltyard.serving.http import server as listen
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.http.fast_protocol import FastPathProtocol
from tiltyard.serving.http.limits import Limits
from tiltyard.serving.http.prometheus import RequestMetrics

HEAD = b"POST /v1/models/iris:predict HTTP/1.1\r\nhost: x\r\nx-request-id: mine\r\n"


def request(content: Any, *headers: bytes, head: bytes = HEAD) -> bytes:
    """Return the bytes of a request for iris."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return head + b"".join(line + b"\r\n" for line in headers) + b"content-length: %d\r\n\r\n" % len(body) + body


USUAL = request({"instances": [random_models.IRIS]})


@contextlib.contextmanager
def listening(app: Starlette, kind: Any = FastPathProtocol) -> Iterator[int]:
    """Run uvicorn in a thread, as `listen` does; give its port."""

    def connection(**given: Any) -> FastPathProtocol:
        made: FastPathProtocol = kind(app, **given)
        return made

    config = uvicorn.Config(app, port=0, log_level="critical", server_header=False, http=connection, lifespan="off")  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    doors = listen._duplicate_sockets(config)
    thread = threading.Thread(target=server.run, args=(doors,), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield doors[0].getsockname()[1]
    server.should_exit = True
    thread.join(20)


GET = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"
SERVED: list[Any] = []  # what services hold that are open now
FAST, PLAIN = Limits(), Limits(routes_only=True)


@contextlib.contextmanager
def served(app: Starlette, limits: Limits = FAST) -> Iterator[int]:
    """Serve the models of an app under other limits; give the port."""
    own = create_app(limits)
    install(own, app.state.models.values())
    own.state.metrics = own.state.admission.metrics = RequestMetrics(registry=CollectorRegistry())
    SERVED.append(own.state)
    with listening(own) as port:
        yield port
    SERVED.remove(own.state)
    own.state.pool.close()


def connect(port: int) -> socket.socket:
    """Open a connection."""
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def heard(client: socket.socket, most: int = 1 << 16) -> bytes:
    """Read until the service closes the connection, or there is enough."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while len(found) < most and (more := client.recv(1 << 16)):
            found += more
    return found
