"""The type of a check: what a challenger must show before it may become champion."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from tiltyard.bootstrap import Gain
from tiltyard.duel import Duel

# HOLD: the champion is not beaten, or not surely. REJECT: unfit for production, whoever is champion.
Severity = Literal["HOLD", "REJECT"]


class NotApplicableError(Exception):
    """A check has nothing to judge here; the text says why."""


@dataclass(frozen=True)
class Outcome:
    """How one check ended: passed in silence, failed with a sentence, or not applicable for a reason."""

    code: str
    title: str
    state: Literal["passed", "failed", "not applicable"]
    text: str
    severity: Severity
    repeatable: bool


class Check(ABC):
    """A sentence or silence; plug-ins in checks/ are one file each."""

    code: ClassVar[str]  # the file's name
    title: ClassVar[str]  # what is true of a challenger that passes
    severity: ClassVar[Severity]
    repeatable: ClassVar[bool] = True  # whether the same files give the same outcome on any machine at any time

    @abstractmethod
    def complaint(self, duel: Duel) -> str | None:
        """Say what is wrong, with what was expected and received; None if nothing is."""

    def outcome(self, duel: Duel) -> Outcome:
        """Judge."""
        try:
            text = self.complaint(duel)
        except NotApplicableError as error:
            return self._outcome("not applicable", str(error))
        return self._outcome("failed" if text else "passed", text or "")

    def _outcome(self, state: Literal["passed", "failed", "not applicable"], text: str) -> Outcome:
        return Outcome(self.code, self.title, state, text, self.severity, self.repeatable)


def versus(duel: Duel, gain: Gain, other: str) -> str:
    """Tell how the challenger stands against another: both values and the interval of the gain."""
    gate = duel.task.gate
    return (
        f"{gate.metric} {gain.new:.4g} against {other}'s {gain.old:.4g}: a gain of {gain.value:.4g} "
        f"({gate.confidence:.0%} interval {gain.low:.4g} to {gain.high:.4g})"
    )
