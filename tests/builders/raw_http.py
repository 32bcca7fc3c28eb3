"""The service on a socket as in `tiltyard serve`, and requests as raw bytes."""

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

from tiltyard.serving.http import listening
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.http.fast_protocol import FastPathProtocol
from tiltyard.serving.http.limits import Limits
from tiltyard.serving.http.prometheus import RequestMetrics

HEAD = b"POST /v1/models/iris:predict HTTP/1.1\r\nhost: x\r\nx-request-id: mine\r\n"


def request_bytes(content: Any, *headers: bytes, head: bytes = HEAD) -> bytes:
    """Return the bytes of a request for iris."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return head + b"".join(line + b"\r\n" for line in headers) + b"content-length: %d\r\n\r\n" % len(body) + body


USUAL_REQUEST = request_bytes({"instances": [random_models.IRIS]})


@contextlib.contextmanager
def serve_raw(app: Starlette, kind: Any = FastPathProtocol) -> Iterator[int]:
    """Run uvicorn in a thread, as the service does; yield its port."""

    def connection(**options: Any) -> FastPathProtocol:
        protocol: FastPathProtocol = kind(app, **options)
        return protocol

    settings: Any = {"http": connection, "server_header": False, "lifespan": "off"}
    config = uvicorn.Config(app, port=0, log_config=None, log_level="critical", **settings)
    server = uvicorn.Server(config)
    sockets = listening.duplicate([config.bind_socket()])
    thread = threading.Thread(target=server.run, args=(sockets,), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(20)


GET = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"
OPEN_STATES: list[Any] = []  # the state of each service that is open now
FAST, PLAIN = Limits(), Limits(routes_only=True)


@contextlib.contextmanager
def serve_models(app: Starlette, limits: Limits = FAST) -> Iterator[int]:
    """Serve the models of an app under other limits; yield the port."""
    own = create_app(limits)
    install(own, app.state.models.values())
    own.state.metrics = own.state.admission.metrics = RequestMetrics(registry=CollectorRegistry())
    OPEN_STATES.append(own.state)
    with serve_raw(own) as port:
        yield port
    OPEN_STATES.remove(own.state)
    own.state.pool.close()


def connect(port: int) -> socket.socket:
    """Open a connection."""
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def read_all(client: socket.socket, most: int = 1 << 16) -> bytes:
    """Read until the service closes the connection, or the maximum is reached."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while len(received) < most and (more := client.recv(1 << 16)):
            received += more
    return received
