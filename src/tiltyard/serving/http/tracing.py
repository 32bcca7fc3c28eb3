"""Tracing: a span for each request, sent by OpenTelemetry to whoever collects them; off unless it is asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tiltyard.errors import PackageError
from tiltyard.serving.http.answered_request import AnsweredRequest
from tiltyard.serving.variables import TRACING_VARIABLES

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

TRACE_HEADERS = (b"traceparent", b"tracestate")
DISABLED = "OTEL_SDK_DISABLED"
MAX_PATH_CHARACTERS = 300  # characters of a path


def is_enabled(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether spans are wanted."""
    return any(environment.get(name) for name in TRACING_VARIABLES)


def create_exporter() -> SpanExporter:
    """Return what sends spans by OTLP over HTTP; it reads the standard variables itself."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise PackageError(
            "spans are asked for; expected opentelemetry-exporter-otlp-proto-http to send them, which is not installed",
            hint="install it: uv pip install 'tiltyard[tracing]', or unset " + ", ".join(TRACING_VARIABLES),
        ) from None
    found: SpanExporter = OTLPSpanExporter()
    return found


class Tracer:
    """Makes spans. To be made when the worker runs: a thread of it sends them."""

    def __init__(self, processor: SpanProcessor) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.provider = _provider()
        self.provider.add_span_processor(processor)
        self.tracer = self.provider.get_tracer("tiltyard")
        self.propagator = TraceContextTextMapPropagator()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Tracer | None:
        """Return one if the environment of the service asks for it."""
        if not is_enabled(environment):
            return None
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        return cls(BatchSpanProcessor(create_exporter()))

    def record(self, request: AnsweredRequest, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Make the span of a request that was answered, as part of the trace that the client began, if it did."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        end = time.time_ns()
        carrier = {name.decode(): value.decode("latin-1") for name, value in headers if name in TRACE_HEADERS}
        span = self.tracer.start_span(
            f"{request.method} {request.model}".strip(),
            self.propagator.extract(carrier),
            kind=SpanKind.SERVER,
            attributes=_attributes(request),
            start_time=end - round(request.seconds * 1e9),
        )
        if request.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def shutdown(self) -> None:
        """Send what waits to be sent, and no more."""
        self.provider.shutdown()


def _provider() -> TracerProvider:
    """Return a provider of our own: the service turns off the SDK, so that BentoML makes no spans beside ours."""
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider

    disabled = os.environ.pop(DISABLED, None)
    try:
        return TracerProvider(resource=Resource.create({SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME", "tiltyard")}))
    finally:
        if disabled is not None:
            os.environ[DISABLED] = disabled


def _attributes(request: AnsweredRequest) -> dict[str, str | int]:
    """Return what was asked and answered, by the usual names where there are some."""
    return {
        "http.request.method": request.method,
        "url.path": request.path[:MAX_PATH_CHARACTERS],
        "http.response.status_code": request.status,
        "tiltyard.request_id": request.id,
        "tiltyard.model": request.model,
        "tiltyard.version": request.version,
        "tiltyard.instances": request.instances,
    }
