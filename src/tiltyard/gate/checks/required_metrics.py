"""Required metrics: minimum values that do not depend on the champion."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation, together
from tiltyard.gate.duel import Duel
from tiltyard.modeling.metrics.base import with_threshold


class RequiredMetrics(Check):
    """A challenger that beats a bad champion may still not be good enough."""

    code: ClassVar = "required_metrics"
    title: ClassVar = "reaches the required values"
    severity: ClassVar = "REJECT"

    def observe(self, duel: Duel) -> Observation:
        """Require each named metric to reach its value."""
        required = duel.task.gate.require
        if not required:
            raise NotApplicableError("gate.require names no value")
        observations = []
        for name, limit in required.items():
            metric = duel.task.evaluator.metrics[name]
            value = metric.score(duel.truth, duel.challenger, with_threshold(duel.context, duel.threshold))
            comparison = "at least" if metric.higher_is_better else "at most"
            text = f"{name} {value:.4g}; expected {comparison} {limit:g}"
            observations.append(Observation(metric.gain(value, limit) >= 0, text, value, limit))
        return together(observations, ", ")
