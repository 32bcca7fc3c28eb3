"""Known to the last detail where it comes from."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.duel import Duel
from tiltyard.gate import Check, NotApplicableError


class Provenance(Check):
    """A champion that cannot be made again cannot be explained when something goes wrong."""

    code: ClassVar = "provenance"
    title: ClassVar = "can be traced and made again"
    severity: ClassVar = "HOLD"

    def complaint(self, duel: Duel) -> str | None:
        """Want each fact; and everything committed, if the task insists on it."""
        if "origin" not in duel.facts:
            raise NotApplicableError("nothing was recorded")
        origin = duel.facts["origin"]
        missing = [name for name, value in origin.items() if value is None and name != "commit"]
        if missing:
            known = len(origin) - len(missing)
            return f"{known} facts of {len(origin)} are known; expected also {', '.join(missing)}"
        if duel.task.gate.committed and (origin["commit"] is None or duel.facts["dirty"]):
            return "0 of 1 commits holds what this was made with; expected code and task to be committed"
        return None
