"""Trained on rows like those that clients send today."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.duel import Duel
from tiltyard.gate import Check, NotApplicableError

REFUSED = 0.01  # share of what clients sent that a new model may refuse


class Drift(Check):
    """The sealed rows are as old as the training rows: neither can tell that the world has moved on."""

    code: ClassVar = "drift"
    title: ClassVar = "learned from rows like today's"
    severity: ClassVar = "HOLD"
    repeatable: ClassVar = False  # more is recorded

    def complaint(self, duel: Duel) -> str | None:
        """Want no column of what was recorded lately far from its training rows."""
        refused, rows = duel.inputs.get("refused", 0), duel.inputs.get("rows", 0)
        if refused > REFUSED * rows:
            text = f"{refused:,} of {rows:,} recorded inputs are refused by the model"
            return f"{text}, such as {duel.inputs['first']}; expected at most {REFUSED:.0%}"
        if not duel.drift:
            raise NotApplicableError(duel.inputs.get("why") or "no inputs of clients are recorded")
        far = [row for row in duel.drift if row["drifted"]]
        told = [f"{row['feature']} {row['psi']:.3g}" for row in far]
        limit = duel.task.check.psi
        return f"population stability index of {', '.join(told)}; expected at most {limit:g}" if told else None
