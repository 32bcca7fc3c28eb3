"""The model card has content in every section."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel


class ModelCard(Check):
    """The card travels with the model; an empty section would look as if nothing were missing."""

    code: ClassVar = "model_card"
    title: ClassVar = "has a complete model card"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Require content in every section."""
        empty = duel.facts.get("empty")
        if empty is None:
            raise NotApplicableError("no model card was written")
        named = f", {', '.join(empty)}" if empty else ""
        return Observation(not empty, f"{len(empty)} sections of its card are empty{named}; expected 0", len(empty), 0)
