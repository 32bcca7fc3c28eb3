"""A model card that says something in every section."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.duel import Duel
from tiltyard.gate import Check, NotApplicableError


class Card(Check):
    """Whoever gets the model gets its card; an empty table on it is worse than none, since nobody asks any more."""

    code: ClassVar = "card"
    title: ClassVar = "its card is complete"
    severity: ClassVar = "HOLD"

    def complaint(self, duel: Duel) -> str | None:
        """Want no section without content."""
        empty = duel.facts.get("empty")
        if empty is None:
            raise NotApplicableError("no card was drawn up")
        return f"{len(empty)} sections of its card are empty, {', '.join(empty)}; expected 0" if empty else None
