"""Fast enough to serve."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.duel import Duel
from tiltyard.gate import Check


class Latency(Check):
    """The time of one answer, without the network."""

    code: ClassVar = "latency"
    title: ClassVar = "answers in time"
    severity: ClassVar = "REJECT"
    repeatable: ClassVar = False

    def complaint(self, duel: Duel) -> str | None:
        """Want the median one-row answer within the task's limit."""
        most = duel.task.gate.latency_ms
        if duel.latency_ms <= most:
            return None
        return f"one row takes {duel.latency_ms:.3g} ms (median); expected at most {most:g} ms"
