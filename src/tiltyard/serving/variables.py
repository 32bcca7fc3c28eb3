"""The command of the service, and the environment variables that it reads."""

from __future__ import annotations

SERVER = ["-m", "tiltyard.serving.http.server"]  # arguments without the executable and the address
LIMITS = ("WORKERS", "CONCURRENCY", "CONNECTIONS", "TIMEOUT", "KEYS", "PLAIN")
NAMES = ("PACKAGES", "CHAMPIONS", "TASKS", *LIMITS, "GRPC", "LOG", "TRACE", "RECORD", "RECORDS", "STATE")
SERVICE_VARIABLES = {f"TILTYARD_{name}" for name in NAMES}
TRACING_VARIABLES = (
    "TILTYARD_TRACE",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
)  # any of them enables tracing
