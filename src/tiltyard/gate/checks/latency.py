"""Fast enough to serve."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, Observation
from tiltyard.gate.duel import Duel


class Latency(Check):
    """The time of one answer, without the network."""

    code: ClassVar = "latency"
    title: ClassVar = "answers in time"
    severity: ClassVar = "REJECT"
    repeatable: ClassVar = False

    def observe(self, duel: Duel) -> Observation:
        """Want the median one-row answer within the task's limit."""
        most = duel.task.gate.latency_ms
        text = f"one row takes {duel.latency_ms:.3g} ms (median); expected at most {most:g} ms"
        return Observation(duel.latency_ms <= most, text, duel.latency_ms, most)
