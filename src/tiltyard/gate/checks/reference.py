"""The network is not significantly worse than the best reference: trees, a linear model, TF-IDF or histograms."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation, of_gain, versus
from tiltyard.gate.duel import Duel


class Reference(Check):
    """If a model that takes no effort is significantly better, the network is no gain."""

    code: ClassVar = "reference"
    title: ClassVar = "is not worse than the reference"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Require the interval of the gain to include zero or to lie above it."""
        gain = duel.over_reference
        if duel.reference is None or gain is None:
            raise NotApplicableError("no reference takes such features")
        text = f"{versus(duel, gain, duel.reference.name)}, fitted to {duel.reference.fitted_to}"
        good, expected = gain.high >= 0, "expected an interval that includes zero or lies above it"
        return of_gain(gain, f"{text}; {expected}", good=good)
