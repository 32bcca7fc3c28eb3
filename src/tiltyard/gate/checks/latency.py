"""Latency: the median time of one prediction."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, Observation
from tiltyard.gate.duel import Duel


class Latency(Check):
    """Time of one prediction without network transfer."""

    code: ClassVar = "latency"
    title: ClassVar = "predicts in time"
    severity: ClassVar = "REJECT"
    repeatable: ClassVar = False

    def observe(self, duel: Duel) -> Observation:
        """Require the median time of one row to be within the task's limit."""
        limit = duel.task.gate.latency_ms
        text = f"one row takes {duel.latency_ms:.3g} ms (median); expected at most {limit:g} ms"
        return Observation(duel.latency_ms <= limit, text, duel.latency_ms, limit)
