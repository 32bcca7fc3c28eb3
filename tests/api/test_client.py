"""The client of the REST service: predictions, retries, errors and keys, against a server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pandas as pd
import pytest

import tiltyard as ty
from tiltyard.api import client as client_module
from tiltyard.errors import RequestError

Answer = tuple[int, Any]


class Service(HTTPServer):
    """A service that answers as it was told, and keeps what it received."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[Answer] = []
        self.received: list[tuple[str, str | None, Any]] = []

    @property
    def url(self) -> str:
        """The address."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.received.append((self.path, self.headers.get("Authorization"), json.loads(body) if body else None))
        status, content = self.server.answers.pop(0)
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = _answer  # noqa: N815 - names of http.server

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A running service; clients do not pause between attempts."""
    monkeypatch.setattr(client_module, "PAUSE", 0.0)
    with Service() as started:
        thread = threading.Thread(target=started.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield started
        started.shutdown()
        thread.join()


def test_many_rows_are_sent_in_several_requests(service: Service) -> None:
    """Each request has at most as many instances as the model takes; answers keep their order and index."""
    service.answers = [(200, {"limits": {"max_instances": 2}})]
    service.answers += [(200, {"predictions": [1, 2]}), (200, {"predictions": [3]})]
    predicted = ty.Client(service.url, "secret").predict("iris", pd.DataFrame({"a": [1, 2, 3]}, index=[4, 5, 6]))
    assert predicted["prediction"].to_dict() == {4: 1, 5: 2, 6: 3}
    assert [path for path, _, _ in service.received] == ["/v1/models/iris", *["/v1/models/iris:predict"] * 2]
    assert service.received[2][2] == {"instances": [{"a": 3}]}
    assert {key for _, key, _ in service.received} == {"Bearer secret"}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_service_is_asked_again(service: Service, status: int) -> None:
    """A refusal that says nothing about the request is repeated."""
    service.answers = [(status, {}), (status, {}), (200, {"models": ["iris"]})]
    assert ty.Client(service.url).models() == ["iris"]


def test_a_wrong_request_is_not_repeated(service: Service) -> None:
    """The error is the one that the service sent."""
    service.answers = [(422, {"error": {"code": "out_of_bounds", "message": "too large", "field": "a"}})]
    with pytest.raises(RequestError, match="too large") as raised:
        ty.Client(service.url).models()
    assert (raised.value.code, raised.value.field, raised.value.status) == ("out_of_bounds", "a", 422)
    assert len(service.received) == 1


def test_an_error_without_a_body_names_its_status(service: Service) -> None:
    """A proxy may answer with a page of its own."""
    service.answers = [(404, b"<html>")]
    with pytest.raises(RequestError, match="404"):
        ty.Client(service.url).models()


def test_retries_end(service: Service) -> None:
    """After the last attempt the refusal is an error."""
    service.answers = [(503, {})] * 3
    with pytest.raises(RequestError, match="503"):
        ty.Client(service.url, retries=2).models()
    assert len(service.received) == 3


def test_no_service_is_an_error_with_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens at the port."""
    monkeypatch.setattr(client_module, "PAUSE", 0.0)
    with pytest.raises(RequestError, match=r"no answer from http://127\.0\.0\.1:9"):
        ty.Client("http://127.0.0.1:9", retries=1).models()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "localhost:3000", ""])
def test_other_addresses_are_refused(url: str) -> None:
    """A client opens no files."""
    with pytest.raises(RequestError, match="expected an address"):
        ty.Client(url)


def test_a_client_hides_its_key() -> None:
    """A notebook that is shared shows no secret."""
    assert "secret" not in repr(ty.Client("http://localhost:3000", "secret"))
