"""Provenance: data, code, seed and parameters of the model are recorded."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel


class Provenance(Check):
    """A champion that cannot be reproduced cannot be debugged."""

    code: ClassVar = "provenance"
    title: ClassVar = "is traceable and reproducible"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Require each fact, and committed code and task if gate.committed is set."""
        if "origin" not in duel.facts:
            raise NotApplicableError("nothing was recorded")
        origin, committed = duel.facts["origin"], duel.task.gate.committed
        known_count, minimum = sum(value is not None for value in origin.values()), len(origin) - (not committed)
        summary = f"{known_count} facts of {len(origin)} are known"
        missing = [name for name, value in origin.items() if value is None and name != "commit"]
        if missing:
            return Observation(False, f"{summary}; expected also {', '.join(missing)}", known_count, minimum)
        if committed and (origin["commit"] is None or duel.facts["dirty"]):
            text = "code or task has uncommitted changes; expected both to be committed"
            return Observation(False, text, 0, 1)
        return Observation(True, f"{summary}, {', '.join(origin)}; expected {minimum} or more", known_count, minimum)
