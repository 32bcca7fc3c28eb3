"""Tracing: off by default; a span for each request, in the client's trace, exported by OTLP."""

from __future__ import annotations

import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
from click.testing import CliRunner
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette_client import TestClient

from tiltyard.cli.main import cli
from tiltyard.errors import PackageError
from tiltyard.serving import variables
from tiltyard.serving.http import tracing
from tiltyard.serving.http.app import create_app, replace_champion
from tiltyard.serving.http.prometheus import RequestMetrics
from tiltyard.serving.http.tracing import Tracer
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.packaging import bento
from tiltyard.serving.variables import SERVER

PREDICT = "/v1/models/iris:predict"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    """Return an exporter in memory."""
    return InMemorySpanExporter()


def app_with_tracing(app: Starlette, tracer: Tracer) -> Starlette:
    """Return an app of iris with tracing."""
    found = create_app()
    replace_champion(found, app.state.models["iris"])
    found.state.metrics = RequestMetrics(registry=prometheus_client.CollectorRegistry(), tracer=tracer)
    return found


@pytest.fixture
def client(app: Starlette, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """Return a client of that app; the SDK is disabled, as in the service."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with TestClient(app_with_tracing(app, Tracer(SimpleSpanProcessor(spans)))) as client:
        yield client


def span_attributes(span: Any) -> dict[str, Any]:
    """Return the attributes of the span of a request."""
    return dict(span.attributes)


def test_each_request_has_a_span(app: Starlette, client: TestClient, spans: InMemorySpanExporter) -> None:
    """A request is a server span with model, version, status, instances and its duration."""
    iris: LoadedModel = app.state.models["iris"]
    client.post(PREDICT, json={"instances": [iris.schema["example"]] * 3}, headers={"X-Request-Id": "mine"})
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind.name, span.resource.attributes["service.name"]) == ("POST iris", "SERVER", "tiltyard")
    assert span_attributes(span) == {
        "http.request.method": "POST",
        "url.path": PREDICT,
        "http.response.status_code": 200,
        "tiltyard.request_id": "mine",
        "tiltyard.model": "iris",
        "tiltyard.version": iris.version,
        "tiltyard.instances": 3,
    }
    assert span.parent is None
    assert span.start_time
    assert span.end_time
    assert 0 < span.end_time - span.start_time < 60e9


def test_trace_of_the_client_is_continued(client: TestClient, spans: InMemorySpanExporter) -> None:
    """The W3C header continues a trace; an invalid one starts another, and an unsampled one has no span."""
    client.get("/v1/models", headers={"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=b"})
    client.get("/v1/models", headers={"traceparent": "00-x-y-01"})
    client.get("/v1/models", headers={"traceparent": f"00-{TRACE}-{SPAN}-00"})
    continued, other = spans.get_finished_spans()
    assert continued.parent
    assert (f"{continued.context.trace_id:032x}", f"{continued.parent.span_id:016x}") == (TRACE, SPAN)
    assert continued.context.trace_state.get("a") == "b"
    assert f"{other.context.trace_id:032x}" != TRACE
    assert other.parent is None


def test_only_server_errors_are_errors_of_the_span(
    app: Starlette, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a 5xx is an error of the span."""
    app = app_with_tracing(app, Tracer(SimpleSpanProcessor(spans)))
    with TestClient(app, raise_server_exceptions=False) as client:
        client.post(PREDICT, content=b"{")
        client.get("/v1/" + "x" * 1000)
        monkeypatch.setattr(LoadedModel, "predict", lambda *_: 1 / 0)
        client.post(PREDICT, json={"instances": [{}]})
    found = spans.get_finished_spans()
    assert [span_attributes(span)["http.response.status_code"] for span in found] == [400, 404, 500]
    assert [span.status.is_ok for span in found] == [True, True, False]
    assert len(span_attributes(found[1])["url.path"]) == 300


def test_tracing_is_off_by_default() -> None:
    """Empty and other variables do not enable tracing, and the SDK stays unchanged."""
    assert Tracer.from_environment({}) is None
    assert Tracer.from_environment({OTLP: "", "OTEL_SERVICE_NAME": "x"}) is None
    assert not tracing.is_enabled({})
    assert all(tracing.is_enabled({name: "x"}) for name in variables.TRACING_VARIABLES)


def test_smoke_test_of_a_package_is_not_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smoke test of a package exports no spans, whatever the environment."""
    for name in variables.TRACING_VARIABLES:
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert not tracing.is_enabled(bento.clean())


def test_missing_exporter_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing exporter is reported before serving, with what to install."""
    monkeypatch.setitem(sys.modules, EXPORTER, None)
    with pytest.raises(PackageError, match="opentelemetry-exporter-otlp-proto-http is not installed") as caught:
        Tracer.from_environment({"TILTYARD_TRACE": "True"})
    assert "tiltyard[tracing]" in caught.value.hint
    for words, environment in ((["serve", "--trace"], {}), (["serve"], {OTLP: "http://127.0.0.1:9"})):
        done = CliRunner().invoke(cli, words, env=environment)
        assert isinstance(done.exception, PackageError)


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Run a collector; return its address and the received data."""
    received: list[tuple[str, bytes]] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()


def parse_spans(received: list[tuple[str, bytes]]) -> list[Any]:
    """Parse the received spans."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    assert {path for path, _ in received} == {"/v1/traces"}
    requests = [ExportTraceServiceRequest.FromString(content) for _, content in received]
    return [
        span for one in requests for part in one.resource_spans for scope in part.scope_spans for span in scope.spans
    ]


def test_spans_are_exported_by_otlp(
    app: Starlette, collector: tuple[str, list[tuple[str, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spans are exported to the standard endpoint, in batches and at the end of the worker."""
    pytest.importorskip(EXPORTER)
    address, received = collector
    monkeypatch.setenv(OTLP, address)
    tracer = Tracer.from_environment()
    assert tracer
    with TestClient(app_with_tracing(app, tracer)) as client:
        client.get("/v1/models/iris", headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
    tracer.shutdown()
    (span,) = parse_spans(received)
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("GET", TRACE, SPAN)


@pytest.mark.slow
def test_service_exports_its_spans(
    packages: dict[str, Path], collector: tuple[str, list[tuple[str, bytes]]], tmp_path: Path
) -> None:
    """Spans of `tiltyard serve` have been exported when it has ended."""
    pytest.importorskip(EXPORTER)

    from tiltyard.serving import serve
    from tiltyard.serving.packaging import smoke_test

    address, received = collector
    options = {"PACKAGES": str(packages["iris"]), "TRACE": "True"}
    environment = {**serve.environment(options, tmp_path), OTLP: address}
    with smoke_test.running(SERVER, environment, tmp_path / "home") as server:
        server.ask("/v1/models/iris")
        server.ask("/v2/models/iris")
    attribute_values = [attribute.value.string_value for span in parse_spans(received) for attribute in span.attributes]
    assert {"/v1/models/iris", "/v2/models/iris"} < {*attribute_values}
