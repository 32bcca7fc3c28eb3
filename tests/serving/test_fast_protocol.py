"""Fast path in the protocol: its responses equal those of uvicorn and the app to the byte."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import random_models
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from raw_http import HEAD, USUAL_REQUEST, request_bytes, serve_raw
from starlette.applications import Starlette

from tiltyard.serving.http import api_keys
from tiltyard.serving.http.answered_request import AnsweredRequest
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.http.fast_middleware import FastRoute
from tiltyard.serving.http.fast_protocol import FastPathProtocol
from tiltyard.serving.http.limits import Limits
from tiltyard.serving.http.prometheus import RequestMetrics
from tiltyard.serving.model.compiled_request import CompiledRequest
from tiltyard.serving.recording.recorder import Recorder

CHANGING = re.compile(rb"date: [^\r]*")
Ports = dict[str, int]


LAST = request_bytes({"instances": [random_models.IRIS]}, b"connection: close")
V2_HEAD = HEAD.replace(b"/v1/models/iris:predict", b"/v2/models/iris/infer")
V2_TENSORS = {name: np.array([value] * 20) for name, value in random_models.IRIS.items()}


def v2_request(binary: bool, *headers: bytes, **more: Any) -> bytes:
    """Return the bytes of a V2 request for iris with 20 rows."""
    inputs, data = [], b""
    for name, values in V2_TENSORS.items():
        content = {"parameters": {"binary_data_size": values.nbytes}} if binary else {"data": values.tolist()}
        inputs.append({"name": name, "shape": [20], "datatype": "FP64", **content})
        data += values.tobytes() if binary else b""
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": binary}, **more}).encode()
    length = [b"inference-header-content-length: %d" % len(head)] if binary else []
    return request_bytes(head + data, *length, *headers, head=V2_HEAD)


CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n4\r\n{" + b'"in\r\n'
REQUESTS = {
    "ordinary": USUAL_REQUEST,
    "two requests": USUAL_REQUEST * 2,
    "invalid request between": USUAL_REQUEST + request_bytes(b'{"instances": [{}]}') + USUAL_REQUEST,
    "other path between": USUAL_REQUEST + b"GET /v1/models HTTP/1.1\r\nx-request-id: own\r\n\r\n" + USUAL_REQUEST,
    "invalid JSON": request_bytes(b"{"),
    "empty body": request_bytes(b""),
    "connection: close": LAST,
    "HTTP/1.0": request_bytes({"instances": [random_models.IRIS]}, head=HEAD.replace(b"1.1", b"1.0")),
    "other method": request_bytes({"instances": [random_models.IRIS]}, head=HEAD.replace(b"POST", b"PUT")),
    "no Content-Length": HEAD + b"\r\n",
    "query string": request_bytes({"instances": [random_models.IRIS]}, head=HEAD.replace(b":predict", b":predict?a=1")),
    "escaped path": request_bytes({"instances": [random_models.IRIS]}, head=HEAD.replace(b"iris", b"%69ris")),
    "unknown model": request_bytes({"instances": [random_models.IRIS]}, head=HEAD.replace(b"iris", b"rose")),
    "absolute URL": request_bytes({"instances": [random_models.IRIS]}, head=HEAD.replace(b" /v1", b" http://x/v1")),
    "path that is not ASCII": request_bytes(
        {"instances": [random_models.IRIS]}, head=HEAD.replace(b"iris", b"\xc3\xa4")
    ),
    "chunked": CHUNKED + b'8\r\nstances"\r\n5\r\n:[1]}\r\n0\r\n\r\n',
    "invalid chunk": CHUNKED + b"zzz\r\n",
    "invalid HTTP": b"HELLO\r\n\r\n",
    "expect: 100-continue": request_bytes({"instances": [random_models.IRIS]}, b"expect: 100-continue"),
    "upgrade": request_bytes({"instances": [random_models.IRIS]}, b"connection: upgrade", b"upgrade: h2c"),
    "CSV": request_bytes(b"a,b\n1,2\n", b"content-type: text/csv"),
    "compressed": request_bytes(b"\x1f\x8b", b"content-encoding: gzip"),
    "large": request_bytes({"instances": [random_models.IRIS] * 400}),
    "with explanations": USUAL_REQUEST
    + request_bytes({"instances": [random_models.IRIS], "explain": True})
    + USUAL_REQUEST,
    "explain: false": request_bytes({"instances": [random_models.IRIS], "explain": False}),
    "explain: 1": request_bytes({"instances": [random_models.IRIS], "explain": 1}),
    "V2 tensors as JSON": v2_request(binary=False) * 2,
    "V2 tensors as binary data": v2_request(binary=True) * 2,
    "V2 with an id": v2_request(binary=True, id="seven"),
    "V2 with an unknown output": v2_request(binary=True, outputs=[{"name": "colour"}]) + USUAL_REQUEST,
    "V2 without its length": v2_request(binary=True).replace(b"inference-header", b"reference-header"),
    "V2 with two lengths": v2_request(True, b"inference-header-content-length: 1"),
    "V2 compressed": v2_request(True, b"content-encoding: gzip"),
    "V2 of an unknown model": v2_request(binary=True).replace(b"models/iris", b"models/rose"),
    "V2 of a wrong version": v2_request(binary=True).replace(b"/infer", b"/versions/0/infer"),
    "through a proxy": request_bytes({"instances": [random_models.IRIS]}, b"x-forwarded-for: 1.2.3.4"),
}
BROKEN = {
    "invalid HTTP",
    "path that is not ASCII",
    "invalid chunk",
}  # refused in the middle, after which the connection is closed


class WithoutFastPath(FastPathProtocol):
    """A connection with the same limits and without the fast path."""

    def _find_route(self) -> FastRoute | None:
        return None


@pytest.fixture(scope="module")
def ports(app: Starlette) -> Iterator[Ports]:
    """Serve the same app with and without the fast path."""
    served = create_app()
    install(served, app.state.models.values())
    served.state.metrics = RequestMetrics(registry=CollectorRegistry())
    with serve_raw(served) as fast, serve_raw(served, WithoutFastPath) as without:
        exchange(fast, [REQUESTS["with explanations"]])  # starts the compute process
        yield {"with": fast, "without": without}
    served.state.pool.close()


def exchange(port: int, parts: list[bytes]) -> bytes:
    """Send data in parts and close; return all responses without the parts that change each second."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
            if len(parts) > 1:
                time.sleep(0.002)  # so that the parts are read separately
        found = b""
        connection.settimeout(20)
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while more := connection.recv(1 << 16):
                found += more
                connection.settimeout(0.3)
    return CHANGING.sub(b"date: now", found)


@pytest.mark.parametrize("name", REQUESTS)
def test_responses_are_the_same_without_the_fast_path(ports: Ports, name: str) -> None:
    """Any request, ordinary or not, gets the same response with and without the fast path."""
    found = exchange(ports["with"], [REQUESTS[name]])
    assert found
    assert found == exchange(ports["without"], [REQUESTS[name]])


@given(
    st.sampled_from([name for name in REQUESTS if name not in BROKEN]),
    st.lists(st.floats(0, 1), min_size=1, max_size=3),
)
@settings(max_examples=25, deadline=None)
def test_responses_do_not_depend_on_how_requests_are_split(ports: Ports, name: str, cuts: list[float]) -> None:
    """A request gets the same response wherever it is split."""
    whole = REQUESTS[name]
    offsets = [0, *sorted(int(cut * len(whole)) for cut in cuts), len(whole)]
    parts = [whole[start:end] for start, end in itertools.pairwise(offsets) if end > start]
    assert exchange(ports["with"], parts) == exchange(ports["without"], [whole])


@pytest.fixture
def app_with_log(app: Starlette, monkeypatch: pytest.MonkeyPatch) -> tuple[Starlette, list[AnsweredRequest]]:
    """Return an app, and the entries of its request log."""
    served, logged = create_app(), []
    install(served, app.state.models.values())
    served.state.metrics = RequestMetrics(registry=CollectorRegistry())
    monkeypatch.setattr(served.state.metrics, "count", lambda one, _: logged.append(one))
    return served, logged


def _fail_if_called(*_: object) -> None:
    raise AssertionError("the app was called")


def test_ordinary_requests_do_not_reach_the_app(app_with_log: tuple[Starlette, list[AnsweredRequest]]) -> None:
    """Ordinary requests are answered, counted and logged without a call of the app."""
    app, logged = app_with_log
    app.middleware_stack = _fail_if_called  # type: ignore[assignment]
    with serve_raw(app) as port:
        response = exchange(port, [USUAL_REQUEST * 3])
    assert response.count(b"HTTP/1.1 200 OK") == 3
    assert b"x-request-id: mine\r\n" in response
    assert [(one.id, one.model, one.status, one.instances, one.client) for one in logged] == [
        ("mine", "iris", 200, 1, "127.0.0.1")
    ] * 3
    assert all(0 < one.seconds < 20 for one in logged)


@pytest.mark.parametrize("binary", [True, False])
def test_numeric_tensors_do_not_reach_the_app(
    app_with_log: tuple[Starlette, list[AnsweredRequest]], binary: bool
) -> None:
    """V2 requests with numbers are answered, counted and logged without a call of the app."""
    app, logged = app_with_log
    app.middleware_stack = _fail_if_called  # type: ignore[assignment]
    with serve_raw(app) as port:
        response = exchange(port, [v2_request(binary)])
    assert response.startswith(b"HTTP/1.1 200 OK")
    assert (b"inference-header-content-length: " in response) is binary
    assert [(one.model, one.status, one.instances) for one in logged] == [("iris", 200, 20)]


def test_exception_in_the_fast_path_is_a_500_from_the_app(
    app_with_log: tuple[Starlette, list[AnsweredRequest]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception in the fast path is a 500 from the app, not an invalid request."""
    app, logged = app_with_log
    monkeypatch.setattr(CompiledRequest, "respond", lambda *_: 1 / 0)
    with serve_raw(app) as port:
        response = exchange(port, [USUAL_REQUEST])
    assert response.startswith(b"HTTP/1.1 500")
    assert b'"code":"internal"' in response
    assert [one.status for one in logged] == [500]


def test_keys_and_limits_apply_to_the_fast_path(app: Starlette, tmp_path: Any) -> None:
    """API keys and the concurrency limit apply to the fast path, too."""
    path = tmp_path / "keys"
    key = api_keys.add(path, "anna").encode()
    served = create_app(Limits(concurrency=1, keys=api_keys.read(path)))
    install(served, app.state.models.values())
    registry = CollectorRegistry()
    served.state.metrics = RequestMetrics(registry=registry)
    known = request_bytes({"instances": [random_models.IRIS]}, b"authorization: Bearer " + key)
    with serve_raw(served) as port:
        assert exchange(port, [USUAL_REQUEST]).startswith(b"HTTP/1.1 401")
        assert exchange(port, [request_bytes({}, b"x-api-key: " + key[:-1])]).startswith(b"HTTP/1.1 401")
        assert exchange(port, [known]).startswith(b"HTTP/1.1 200")
        served.state.admission.active = 1
        assert exchange(port, [known]).startswith(b"HTTP/1.1 429")
    assert b'tiltyard_requests_total{model="iris",status="200"' in generate_latest(registry)


def test_sampling_rate_is_kept_by_both_paths(
    app_with_log: tuple[Starlette, list[AnsweredRequest]], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """The sampling rate is kept, whether the fast path or the app handles a request."""
    app, _ = app_with_log
    app.state.recorder = recorder = Recorder(tmp_path, 0.5)
    recorded: list[object] = []
    monkeypatch.setattr(recorder, "record", lambda *arguments: recorded.append(arguments))
    monkeypatch.setattr(recorder, "_draw_skips", lambda: 1)
    recorder.skips_left = 1  # every second one
    with serve_raw(app) as port:
        assert exchange(port, [USUAL_REQUEST * 10]).count(b"200 OK") == 10
    assert len(recorded) == 5
    with serve_raw(app) as port:  # the head first, like many clients
        for _ in range(4):
            assert exchange(port, [USUAL_REQUEST[:-10], USUAL_REQUEST[-10:]]).count(b"200 OK") == 1
    assert len(recorded) == 7


def test_keep_alive_timeout_starts_after_the_last_response(
    app_with_log: tuple[Starlette, list[AnsweredRequest]],
) -> None:
    """The keep-alive timeout starts after the last response, not during another request."""
    app, _ = app_with_log

    class ShortKeepAlive(FastPathProtocol):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            self.timeout_keep_alive = 0.3  # type: ignore[assignment]

    slow = request_bytes({"instances": [random_models.IRIS]})
    with (
        serve_raw(app, ShortKeepAlive) as port,
        socket.create_connection(("127.0.0.1", port), timeout=20) as connection,
    ):
        connection.sendall(USUAL_REQUEST + slow[:-4])
        time.sleep(0.8)
        connection.sendall(slow[-4:])
        time.sleep(0.2)
        assert connection.recv(1 << 16).count(b"200 OK") == 2
        time.sleep(0.8)
        assert connection.recv(1 << 16) == b""


def test_clients_that_connect_at_once_are_all_served(ports: Ports) -> None:
    """Of many clients that connect at once, none waits until the others are finished."""
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", ports["with"]), timeout=20)) for _ in range(100)
        ]
        for one in connections:
            one.sendall(USUAL_REQUEST)
        assert all(one.recv(1 << 16).startswith(b"HTTP/1.1 200") for one in connections)
