"""A model card that says something in every section."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel


class ModelCard(Check):
    """Whoever gets the model gets its card; an empty table on it is worse than none, since nobody asks any more."""

    code: ClassVar = "model_card"
    title: ClassVar = "its card is complete"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Want no section without content."""
        empty = duel.facts.get("empty")
        if empty is None:
            raise NotApplicableError("no card was drawn up")
        named = f", {', '.join(empty)}" if empty else ""
        return Observation(not empty, f"{len(empty)} sections of its card are empty{named}; expected 0", len(empty), 0)
