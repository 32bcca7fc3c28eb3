"""The network is not significantly worse than a linear model or a small tree."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation, of_gain, versus
from tiltyard.gate.duel import Duel


class SimpleModel(Check):
    """If a simple model is significantly better, something is wrong with the network or its training."""

    code: ClassVar = "simple_model"
    title: ClassVar = "is not beaten by a simple model"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Require the interval of the gain to include zero or to lie above it."""
        gain = duel.over_simple
        if duel.simple is None or gain is None:
            raise NotApplicableError("neither a linear model nor a tree takes such features")
        text = f"{versus(duel, gain, duel.simple.name)}; expected an interval that includes zero or lies above it"
        return of_gain(gain, text, good=gain.high >= 0)
