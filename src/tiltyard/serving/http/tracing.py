"""Tracing: a span for each request, sent by OpenTelemetry to whoever collects them; off unless it is asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tiltyard.errors import PackageError
from tiltyard.serving.http.answered_request import AnsweredRequest
from tiltyard.serving.variables import TRACING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

CARRIED = (b"traceparent", b"tracestate")
DISABLED = "OTEL_SDK_DISABLED"
LONGEST = 300  # characters of a path


def asked(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether spans are wanted."""
    return any(environment.get(name) for name in TRACING)


def exporter() -> SpanExporter:
    """Return what sends spans by OTLP over HTTP; it reads the standard variables itself."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise PackageError(
            "spans are asked for; expected opentelemetry-exporter-otlp-proto-http to send them, which is not installed",
            hint="install it: uv pip install 'tiltyard[tracing]', or unset " + ", ".join(TRACING),
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
    def read(cls, environment: Mapping[str, str] = os.environ) -> Tracer | None:
        """Return one if the environment of the service asks for it."""
        if not asked(environment):
            return None
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        return cls(BatchSpanProcessor(exporter()))

    def tell(self, heard: AnsweredRequest, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Make the span of a request that was answered, as part of the trace that the client began, if it did."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        end = time.time_ns()
        carrier = {name.decode(): value.decode("latin-1") for name, value in headers if name in CARRIED}
        span = self.tracer.start_span(
            f"{heard.method} {heard.model}".strip(),
            self.propagator.extract(carrier),
            kind=SpanKind.SERVER,
            attributes=_attributes(heard),
            start_time=end - round(heard.seconds * 1e9),
        )
        if heard.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def end(self) -> None:
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


def _attributes(heard: AnsweredRequest) -> dict[str, str | int]:
    """Return what was asked and answered, by the usual names where there are some."""
    return {
        "http.request.method": heard.method,
        "url.path": heard.path[:LONGEST],
        "http.response.status_code": heard.status,
        "tiltyard.request_id": heard.id,
        "tiltyard.modeling.models.base": heard.model,
        "tiltyard.version": heard.version,
        "tiltyard.instances": heard.instances,
    }
