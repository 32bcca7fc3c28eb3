"""Request middleware: API keys, concurrency, timeout, response headers, metrics and log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import Any

import httpx
import prometheus_client
import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message
from starlette_client import TestClient

from tiltyard.cli.main import cli
from tiltyard.errors import RequestError, WorkspaceError
from tiltyard.serving.http import api_keys, health
from tiltyard.serving.http.admission import AdmissionControl
from tiltyard.serving.http.app import create_app, replace_champion
from tiltyard.serving.http.limits import Limits
from tiltyard.serving.http.middleware import RequestMiddleware
from tiltyard.serving.http.prometheus import RequestMetrics
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.packaging import bento, smoke_test
from tiltyard.serving.variables import SERVER

PREDICT = "/v1/models/iris:predict"


async def _send_request(
    app: Any, path: str = "/", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Send a request to an ASGI app; return status, headers and body."""
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    sent = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": sent}
    await app(scope, receive, send)
    start, *rest = messages
    named = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], named, b"".join(message.get("body", b"") for message in rest)


def _blocking_app(limits: Limits, gate: asyncio.Event) -> RequestMiddleware:
    async def wait(_: Request) -> Response:
        await gate.wait()
        return Response(b"done")

    return RequestMiddleware(Starlette(routes=[Route("/", wait), Route("/v2", wait)]), AdmissionControl(limits))


def test_request_above_the_concurrency_limit_receives_429() -> None:
    """A request above the concurrency limit receives 429, and is accepted once a slot is free."""
    admission = AdmissionControl(Limits(concurrency=3))
    with contextlib.ExitStack() as inside:
        for _ in range(3):
            inside.enter_context(admission.request_slot())
        with pytest.raises(RequestError, match="at most 3 requests at a time") as refusal, admission.request_slot():
            pass
        assert refusal.value.status == 429
    with admission.request_slot():
        assert admission.active == 1
    assert admission.active == 0


def test_request_above_the_timeout_receives_503() -> None:
    """A request above the timeout receives 503, and its slot is free again."""

    async def wait() -> None:
        app = _blocking_app(Limits(seconds=0.05), asyncio.Event())
        status, _, body = await _send_request(app)
        assert (status, app.admission.active) == (503, 0)
        assert b'"code":"timeout","message":"expected to be done in 0.05 seconds"' in body
        assert (await _send_request(app, "/v2"))[2] == b'{"error":"timeout: expected to be done in 0.05 seconds"}'

    asyncio.run(wait())


def test_hanging_response_is_cut_off() -> None:
    """A response that hangs after its start is cut off, so that the client notices."""

    async def half(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        asyncio.run(_send_request(RequestMiddleware(half, AdmissionControl(Limits(seconds=0.05)))))


def test_exception_is_a_500_without_details(app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an exception the client receives 500 with an id and no details; the log has the traceback."""
    monkeypatch.setattr(LoadedModel, "predict", lambda *_: 1 / 0)
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.post(PREDICT, json={"instances": [{}]})
        assert response.status_code == 500
        assert response.json()["error"]["code"] == "internal"
        assert "ZeroDivision" not in response.text
        assert len(response.headers["x-request-id"]) == 16
        assert response.headers["x-content-type-options"] == "nosniff"
    with TestClient(app) as client, pytest.raises(ZeroDivisionError):
        client.post(PREDICT, json={"instances": [{}]})


def test_gauge_counts_requests_in_progress() -> None:
    """The gauge counts requests while they are processed."""
    registry = prometheus_client.CollectorRegistry()
    admission = AdmissionControl(Limits())
    admission.metrics = RequestMetrics(registry=registry)
    with admission.request_slot(), admission.request_slot():
        assert registry.get_sample_value("tiltyard_requests_inside") == 2
    assert registry.get_sample_value("tiltyard_requests_inside") == 0


def test_lifespan_messages_pass_through() -> None:
    """Lifespan messages pass through unchanged."""
    scope_types: list[str] = []

    async def app(scope: Any, _: Any, __: Any) -> None:
        scope_types.append(scope["type"])

    asyncio.run(RequestMiddleware(app, AdmissionControl(Limits()))({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert scope_types == ["lifespan"]


def test_valid_api_key_is_required(tmp_path: Path, app: Starlette) -> None:
    """A key is accepted in either header; without a valid one, the body is not read."""
    path = tmp_path / "keys"
    one, other = api_keys.add(path, "robot"), api_keys.add(path, "mary@example.org")
    assert one not in path.read_text()
    app_with_keys = create_app(Limits(keys=api_keys.read(path)))
    replace_champion(app_with_keys, app.state.models["iris"])
    iris: LoadedModel = app.state.models["iris"]
    body = {"instances": [iris.schema["example"]]}
    with TestClient(app_with_keys) as client:
        for headers in ({"Authorization": f"Bearer {one}"}, {"Authorization": f"bearer {other}"}, {"X-API-Key": one}):
            assert client.post(PREDICT, json=body, headers=headers).status_code == 200
        for headers in ({}, {"Authorization": "Bearer"}, {"X-API-Key": one[:-1]}, {"Authorization": f"Basic {one}"}):
            refusal = client.post(PREDICT, content=b"{", headers=headers)
            assert (refusal.status_code, refusal.headers["www-authenticate"]) == (401, "Bearer")
            assert refusal.json()["error"]["code"] == "unknown_key"
        assert client.get("/v2/models/iris").json()["error"].startswith("unknown_key: ")
    assert api_keys.find_name(api_keys.read(path), other) == "mary@example.org"


def test_key_command_creates_a_key(tmp_path: Path) -> None:
    """The command prints the key once, and refuses used and invalid names."""
    path = tmp_path / "keys"
    created = CliRunner().invoke(cli, ["key", "robot", "--file", str(path)])
    assert created.exit_code == 0
    assert api_keys.find_name(api_keys.read(path), created.stdout.strip()) == "robot"
    repeated = CliRunner().invoke(cli, ["key", "robot", "--file", str(path)])
    assert repeated.exit_code == 1
    assert "robot has a key already" in str(repeated.exception)
    with pytest.raises(WorkspaceError, match="expected a name of letters"):
        api_keys.add(path, "a b")


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "expected at least one key; received none"), ("# x\nrobot 123\n", "line 2: expected NAME")],
)
def test_invalid_key_file_prevents_the_start(tmp_path: Path, content: str, message: str) -> None:
    """With an invalid key file the service does not start."""
    path = tmp_path / "keys"
    with pytest.raises(WorkspaceError, match="no keys"):
        Limits.from_environment({"TILTYARD_KEYS": str(path)})
    path.write_text(content)
    with pytest.raises(WorkspaceError, match=message):
        Limits.from_environment({"TILTYARD_KEYS": str(path)})


def test_limits_come_from_the_environment() -> None:
    """Unset variables keep their defaults, and invalid numbers are refused."""
    assert Limits.from_environment({}) == Limits()
    assert Limits.from_environment({"TILTYARD_CONCURRENCY": "7", "TILTYARD_TIMEOUT": "0.5"}) == Limits(7, 0.5)
    for invalid in ("0", "-1", "many"):
        with pytest.raises(WorkspaceError, match="TILTYARD_TIMEOUT: expected a number above 0; received"):
            Limits.from_environment({"TILTYARD_TIMEOUT": invalid})


def test_every_response_has_security_headers(client: TestClient) -> None:
    """Predictions, pages and errors all have the security headers."""
    for path in ("/v1/models", "/", "/v1/none", "/v2"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == ("no-cache" if path == "/" else "no-store")


@pytest.mark.slow
def test_probes_need_no_key(packages: dict[str, Path], tmp_path: Path) -> None:
    """Health checks and metrics need no key; all other paths do."""
    path = tmp_path / "keys"
    own = api_keys.add(path, "robot")
    environment = {**bento.clean(), "TILTYARD_PACKAGES": str(packages["iris"]), "TILTYARD_KEYS": str(path)}
    with (
        smoke_test.running(SERVER, environment, tmp_path / "home") as server,
        httpx.Client(base_url=server.url) as client,
    ):
        assert [client.get(path).status_code for path in ("/livez", "/readyz", "/metrics")] == [200] * 3
        assert 'tiltyard_requests_total{model="",status="401",version=""}' not in client.get("/metrics").text
        protected = ("/v1/models", "/v1/openapi.json", "/v2/health/ready")
        assert [client.get(path).status_code for path in protected] == [401] * 3
        assert client.get("/").status_code == 200
        assert client.get("/v1/models", headers={"X-API-Key": own}).json() == {"models": ["iris"]}
        time.sleep(health.CACHE_SECONDS)
        assert 'tiltyard_requests_total{model="",status="401",version=""} 3.0' in client.get("/metrics").text


@pytest.mark.parametrize(
    "path", ["/livez/", "/metrics/", "/v2/", "/v2/health/live/", "/v1/openapi.json/", "//evil.example/livez/"]
)
def test_no_path_is_redirected(client: TestClient, path: str) -> None:
    """No path is redirected, since the target would contain the host that the client names (cache poisoning)."""
    response = client.get(path, headers={"host": "evil.example"}, follow_redirects=False)
    assert response.status_code == 404
    assert "location" not in response.headers
    assert "evil" not in response.text


@pytest.mark.parametrize("path", ["/v1/models/" + ":predict" * 200, "/v2/models/" + "a" * 1014, "/" + "\u00e9" * 600])
def test_too_long_paths_are_refused_before_routing(path: str) -> None:
    """Too long paths are refused before routing."""

    async def app(_: Any, __: Any, ___: Any) -> None:
        pytest.fail("it was routed")

    status, _, body = asyncio.run(_send_request(RequestMiddleware(app, AdmissionControl(Limits())), path))
    assert status == 414
    assert b"address_too_long" in body
    assert b"expected a path of at most 1,024 bytes" in body


def test_path_within_the_limit_is_routed(client: TestClient) -> None:
    """A path within the limit is routed as usual."""
    assert client.get("/v1/" + "a" * 1020).status_code == 404


def test_requests_are_counted_by_model_version_and_status(app: Starlette) -> None:
    """Requests are counted once, with instances and seconds; unknown names become no labels."""
    registry = prometheus_client.CollectorRegistry()
    iris: LoadedModel = app.state.models["iris"]
    app_with_metrics = create_app()
    replace_champion(app_with_metrics, iris)
    app_with_metrics.state.metrics = RequestMetrics(registry=registry)
    body = {"instances": [iris.schema["example"]] * 3}
    with TestClient(app_with_metrics) as client:
        for path in (PREDICT, f"/v1/models/iris/versions/{iris.version}:predict"):
            assert client.post(path, json=body).status_code == 200
        for path in (PREDICT, "/v1/models/rose:predict", "/v9/none"):
            assert client.post(path, content=b"{").status_code in (400, 404)
    labels = {"model": "iris", "version": iris.version}

    def value(name: str, **more: str) -> float | None:
        return registry.get_sample_value(name, {**labels, **more})

    assert value("tiltyard_requests_total", status="200") == 2
    assert value("tiltyard_requests_total", status="400") == 1
    assert value("tiltyard_request_instances_sum") == 6
    assert value("tiltyard_request_instances_count") == 2
    assert value("tiltyard_request_seconds_count") == 3
    assert registry.get_sample_value("tiltyard_requests_inside") == 0
    no_model = {"model": "", "version": "", "status": "404"}
    assert registry.get_sample_value("tiltyard_requests_total", no_model) == 2
    assert b"rose" not in prometheus_client.generate_latest(registry)


def test_request_log_has_one_line_per_request(
    app: Starlette, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The request log has a line for each request, with its id and the name of the API key."""
    path = tmp_path / "keys"
    own = api_keys.add(path, "robot")
    app_with_log = create_app(Limits(keys=api_keys.read(path)))
    replace_champion(app_with_log, app.state.models["iris"])
    app_with_log.state.metrics = RequestMetrics(log=True, registry=prometheus_client.CollectorRegistry())
    with TestClient(app_with_log) as client:
        for name in ("my-id.7", "no id", "x" * 65):
            response = client.get("/v1/models/iris", headers={"X-Request-Id": name, "X-API-Key": own})
            assert (response.headers["x-request-id"] == name) == (name == "my-id.7")
        client.post(PREDICT, content=b"{")
    lines = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [line["status"] for line in lines] == [200, 200, 200, 401]
    assert [line["key"] for line in lines] == ["robot"] * 3 + [""]
    assert lines[0]["id"] == "my-id.7"
    assert len({line["id"] for line in lines}) == 4
    assert lines[3]["path"] == PREDICT
    assert lines[0]["seconds"] > 0
