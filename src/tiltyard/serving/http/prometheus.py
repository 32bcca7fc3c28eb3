"""Meters: what Prometheus reads of the service at /metrics, and the log of requests for who wants one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiltyard.serving.http.answered_request import AnsweredRequest
    from tiltyard.serving.http.tracing import Tracer
    from tiltyard.serving.traffic.recorder import PendingRecord

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
INSTANCES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class RequestMetrics:
    """Counts by model, version and status. To be made when the worker runs: only then is it known where counts go."""

    def __init__(
        self, *, log: bool = False, registry: Any = None, tracer: Tracer | None = None, watched: bool = False
    ) -> None:
        import prometheus_client as prometheus

        self.log, self.tracer = log, tracer
        where: dict[str, Any] = {} if registry is None else {"registry": registry}
        model = ["model", "version"]
        self.requests = prometheus.Counter(
            "tiltyard_requests", "Requests by model, version and status", [*model, "status"], **where
        )
        self.seconds = prometheus.Histogram(
            "tiltyard_request_seconds", "From the first byte read to the last one sent", model, buckets=SECONDS, **where
        )
        self.instances = prometheus.Histogram(
            "tiltyard_request_instances", "Instances of a request", model, buckets=INSTANCES, **where
        )
        self.active = prometheus.Gauge(
            "tiltyard_requests_inside", "Requests that are being answered", multiprocess_mode="livesum", **where
        )
        self.recorded = prometheus.Counter(
            "tiltyard_recorded",
            "Answers for the record and copies for a challenger: written, failed, dropped, or no room in the folder",
            [*model, "arm", "outcome"],
            **where,
        )
        self.drift = prometheus.Gauge(
            "tiltyard_feature_psi",
            "How far the latest recorded inputs lie from the training rows (population stability index)",
            [*model, "feature"],
            multiprocess_mode="livemax",  # that one worker sees it is enough
            **where,
        )
        self.watch = prometheus.Gauge(
            "tiltyard_champions_looked_timestamp_seconds",
            "When the worker last looked whether there is another champion; of several workers the longest ago",
            [] if watched else ["none"],  # a label that nobody sets: there is nothing to look at
            multiprocess_mode="livemin",
            **where,
        )
        if watched:
            self.champions_checked()
        self.labelled: dict[tuple[str, str, int], tuple[Any, Any, Any]] = {}  # finding a label costs more than counting

    def count(self, request: AnsweredRequest, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Count a request; log and trace it if that is wanted. Its headers say whose trace it is part of."""
        key = request.model, request.version, request.status
        if key not in self.labelled:
            names = key[:2]
            self.labelled[key] = (
                self.requests.labels(*names, str(request.status)),
                self.seconds.labels(*names),
                self.instances.labels(*names),
            )
        requests, seconds, instances = self.labelled[key]
        requests.inc()
        seconds.observe(request.seconds)
        if request.instances:
            instances.observe(request.instances)
        if self.log:
            line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **request._asdict()}
            # In ASCII: a terminal would obey control characters that a client sends, and show text in another order.
            sys.stdout.buffer.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
            sys.stdout.buffer.flush()
        if self.tracer:
            self.tracer.record(request, headers)

    def count_recorded(self, record: PendingRecord, outcome: str) -> None:
        """Count what became of an answer for the record."""
        self.recorded.labels(record.model.task, record.model.version, record.arm, outcome).inc()

    def champions_checked(self) -> None:
        """Set that the worker looked at the champions now."""
        self.watch.set_to_current_time()

    def set_drift(self, labels: tuple[str, str, str], value: float) -> None:
        """Set how far a feature lies from the training rows."""
        self.drift.labels(*labels).set(value)
