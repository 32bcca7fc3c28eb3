"""Drift: the training rows are like the inputs that clients sent lately."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel

REFUSED = 0.01  # share of recorded inputs that a new model may refuse


class Drift(Check):
    """Test rows are as old as the training rows, so they cannot show that inputs have changed since."""

    code: ClassVar = "drift"
    title: ClassVar = "was trained on data like recent inputs"
    severity: ClassVar = "HOLD"
    repeatable: ClassVar = False  # since more inputs are recorded over time

    def observe(self, duel: Duel) -> Observation:
        """Require every column of the inputs recorded lately to be distributed like its training rows."""
        refused, rows = duel.inputs.get("refused", 0), duel.inputs.get("rows", 0)
        if refused > REFUSED * rows:
            text = f"{refused:,} of {rows:,} recorded inputs are refused by the model"
            text = f"{text}, such as {duel.inputs['first']}; expected at most {REFUSED:.0%}"
            return Observation(False, text, refused / rows, REFUSED, rows=rows)
        if not duel.drift:
            raise NotApplicableError(duel.inputs.get("why") or "no inputs of clients are recorded")
        far = [row for row in duel.drift if row["drifted"]]
        largest, limit = max(duel.drift, key=lambda row: float(row["psi"])), duel.task.check.psi
        values = ", ".join(f"{row['feature']} {row['psi']:.3g}" for row in far or [largest])
        named = "population stability index of" if far else "largest population stability index, of"
        text = f"{named} {values}; expected at most {limit:g}"
        return Observation(not far, text, float(largest["psi"]), limit, rows=rows or None)
