"""Known to the last detail where it comes from."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel


class Provenance(Check):
    """A champion that cannot be made again cannot be explained when something goes wrong."""

    code: ClassVar = "provenance"
    title: ClassVar = "can be traced and made again"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Want each fact; and everything committed, if the task insists on it."""
        if "origin" not in duel.facts:
            raise NotApplicableError("nothing was recorded")
        origin, committed = duel.facts["origin"], duel.task.gate.committed
        known, wanted = sum(value is not None for value in origin.values()), len(origin) - (not committed)
        told = f"{known} facts of {len(origin)} are known"
        missing = [name for name, value in origin.items() if value is None and name != "commit"]
        if missing:
            return Observation(False, f"{told}; expected also {', '.join(missing)}", known, wanted)
        if committed and (origin["commit"] is None or duel.facts["dirty"]):
            text = "0 of 1 commits holds what this was made with; expected code and task to be committed"
            return Observation(False, text, 0, 1)
        return Observation(True, f"{told}, {', '.join(origin)}; expected {wanted} or more", known, wanted)
