"""OpenTelemetry tracing: a span for each request, exported by OTLP; off by default."""

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
MAX_PATH_CHARACTERS = 300


def is_enabled(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether an environment variable enables tracing."""
    return any(environment.get(name) for name in TRACING_VARIABLES)


def create_exporter() -> SpanExporter:
    """Return the exporter of OTLP over HTTP, which reads the standard environment variables."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise PackageError(
            "tracing is enabled, but opentelemetry-exporter-otlp-proto-http is not installed",
            hint="install it: uv pip install 'tiltyard[tracing]', or unset " + ", ".join(TRACING_VARIABLES),
        ) from None
    exporter: SpanExporter = OTLPSpanExporter()
    return exporter


class Tracer:
    """Creates spans. Create it in the worker, since a thread exports them."""

    def __init__(self, processor: SpanProcessor) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.provider = _provider()
        self.provider.add_span_processor(processor)
        self.tracer = self.provider.get_tracer("tiltyard")
        self.propagator = TraceContextTextMapPropagator()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Tracer | None:
        """Return a tracer if tracing is enabled, or None."""
        if not is_enabled(environment):
            return None
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        return cls(BatchSpanProcessor(create_exporter()))

    def record(self, request: AnsweredRequest, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Create the span of an answered request, within the client's trace if its headers name one."""
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
        """Export the remaining spans and stop."""
        self.provider.shutdown()


def _provider() -> TracerProvider:
    """Return a provider that works although the SDK is disabled, which keeps BentoML from creating spans."""
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider

    disabled = os.environ.pop(DISABLED, None)
    try:
        return TracerProvider(resource=Resource.create({SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME", "tiltyard")}))
    finally:
        if disabled is not None:
            os.environ[DISABLED] = disabled


def _attributes(request: AnsweredRequest) -> dict[str, str | int]:
    """Return span attributes, with the names of the semantic conventions where they exist."""
    return {
        "http.request.method": request.method,
        "url.path": request.path[:MAX_PATH_CHARACTERS],
        "http.response.status_code": request.status,
        "tiltyard.request_id": request.id,
        "tiltyard.model": request.model,
        "tiltyard.version": request.version,
        "tiltyard.instances": request.instances,
    }
