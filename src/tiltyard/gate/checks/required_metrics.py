"""The values that the task requires, whoever is champion."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation, together
from tiltyard.gate.duel import Duel


class RequiredMetrics(Check):
    """To beat a bad champion is not yet to be good enough."""

    code: ClassVar = "required_metrics"
    title: ClassVar = "reaches the required values"
    severity: ClassVar = "REJECT"

    def observe(self, duel: Duel) -> Observation:
        """Want each named metric at its value or better."""
        wanted = duel.task.gate.require
        if not wanted:
            raise NotApplicableError("gate.require names no value")
        found = []
        for name, least in wanted.items():
            metric = duel.task.evaluator.metrics[name]
            value = metric.score(duel.truth, duel.challenger, duel.context)
            most = "at least" if metric.higher_is_better else "at most"
            text = f"{name} {value:.4g}; expected {most} {least:g}"
            found.append(Observation(metric.gain(value, least) >= 0, text, value, least))
        return together(found, ", ")
