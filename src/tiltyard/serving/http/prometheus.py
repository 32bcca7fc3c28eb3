"""Prometheus metrics of requests, recording, drift and champions, and the request log (access log)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram

    from tiltyard.serving.http.answered_request import AnsweredRequest
    from tiltyard.serving.http.tracing import Tracer
    from tiltyard.serving.recording.entry import Label

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
INSTANCES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
MODEL_LABELS = ("model", "version")


class RequestMetrics:
    """Metrics by model, version and status. Create it in the worker, where the folder of the counts is known."""

    def __init__(
        self, *, log: bool = False, registry: Any = None, tracer: Tracer | None = None, watched: bool = False
    ) -> None:
        self.log, self.tracer = log, tracer
        options: dict[str, Any] = {} if registry is None else {"registry": registry}
        self.requests, self.seconds, self.instances, self.active = _request_metrics(options)
        self.recorded, self.drift = _record_metrics(options)
        self.watch = _watch_metric(options, watched=watched)
        if watched:
            self.champions_checked()
        # Cached, since finding labels takes longer than counting.
        self.labelled: dict[tuple[str, str, int], tuple[Any, Any, Any]] = {}

    def count(self, request: AnsweredRequest, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Count a request, and log and trace it if enabled. Its headers may name the parent trace."""
        key = request.model, request.version, request.status
        if key not in self.labelled:
            model_labels = key[:2]
            self.labelled[key] = (
                self.requests.labels(*model_labels, str(request.status)),
                self.seconds.labels(*model_labels),
                self.instances.labels(*model_labels),
            )
        requests, seconds, instances = self.labelled[key]
        requests.inc()
        seconds.observe(request.seconds)
        if request.instances:
            instances.observe(request.instances)
        if self.log:
            line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **request._asdict()}
            # ASCII only: control characters sent by a client could manipulate a terminal.
            sys.stdout.buffer.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
            sys.stdout.buffer.flush()
        if self.tracer:
            self.tracer.record(request, headers)

    def count_recorded(self, label: Label, outcome: str, number: int) -> None:
        """Count outcomes of records."""
        self.recorded.labels(*label, outcome).inc(number)

    def champions_checked(self) -> None:
        """Set the time of the last check for champions to now."""
        self.watch.set_to_current_time()

    def set_drift(self, labels: tuple[str, str, str], value: float) -> None:
        """Set the drift of a feature."""
        self.drift.labels(*labels).set(value)


def _request_metrics(options: dict[str, Any]) -> tuple[Counter, Histogram, Histogram, Gauge]:
    """Return the number of requests, their seconds and instances, and those that are being processed."""
    from prometheus_client import Counter, Gauge, Histogram

    return (
        Counter("tiltyard_requests", "Requests by model, version and status", [*MODEL_LABELS, "status"], **options),
        Histogram(
            "tiltyard_request_seconds",
            "From the first byte read to the last one sent",
            MODEL_LABELS,
            buckets=SECONDS,
            **options,
        ),
        Histogram("tiltyard_request_instances", "Instances of a request", MODEL_LABELS, buckets=INSTANCES, **options),
        Gauge("tiltyard_requests_inside", "Requests that are being processed", multiprocess_mode="livesum", **options),
    )


def _record_metrics(options: dict[str, Any]) -> tuple[Counter, Gauge]:
    """Return the number of recorded predictions, and the drift of the recorded inputs."""
    from prometheus_client import Counter, Gauge

    return (
        Counter(
            "tiltyard_recorded",
            "Recorded predictions and shadow copies by outcome: written, failed, dropped, or full",
            [*MODEL_LABELS, "arm", "outcome"],
            **options,
        ),
        Gauge(
            "tiltyard_feature_psi",
            "Drift of the latest recorded inputs from the training rows (population stability index)",
            [*MODEL_LABELS, "feature"],
            multiprocess_mode="livemax",  # drift in one worker's sample is enough
            **options,
        ),
    )


def _watch_metric(options: dict[str, Any], *, watched: bool) -> Gauge:
    """Return the time of the last check for new champions; without a value if champions are not watched."""
    from prometheus_client import Gauge

    return Gauge(
        "tiltyard_champions_looked_timestamp_seconds",
        "Time of the last check for new champions; of several workers the earliest",
        [] if watched else ["none"],  # with a label that is never set, the gauge has no value
        multiprocess_mode="livemin",
        **options,
    )
