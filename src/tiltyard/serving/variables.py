"""Environment variables that the service reads, by name."""

from __future__ import annotations

LIMITS = ("WORKERS", "CONCURRENCY", "CONNECTIONS", "TIMEOUT", "KEYS", "PLAIN")
NAMES = ("PACKAGES", "CHAMPIONS", "TASKS", *LIMITS, "LOG", "TRACE", "RECORD", "RECORDS", "STATE")
SERVICE_VARIABLES = {f"TILTYARD_{name}" for name in NAMES}
TRACING_VARIABLES = (
    "TILTYARD_TRACE",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
)  # any of them enables tracing
