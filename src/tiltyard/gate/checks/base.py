"""The base class of the gate's checks, and the types of what they observe."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from tiltyard.gate.duel import Duel
from tiltyard.modeling.metrics.bootstrap import Gain
from tiltyard.modeling.metrics.dependence import LEAST_UNITS

# HOLD: not proven to be better than the champion. REJECT: unfit for production, whatever the champion is.
Severity = Literal["HOLD", "REJECT"]


class NotApplicableError(Exception):
    """The check does not apply to this duel; the text says why."""


@dataclass(frozen=True)
class Observation:
    """What a check observed: whether it is good, a sentence with the numbers, the deciding value and its limit."""

    good: bool
    text: str
    observed: float
    limit: float
    interval: tuple[float, float] | None = None
    rows: int | None = None  # that the value is about; all sealed ones if unset


@dataclass(frozen=True)
class Outcome:
    """The result of one check: passed or failed with its observation, or not applicable with the reason."""

    code: str
    title: str
    state: Literal["passed", "failed", "not applicable"]
    text: str  # empty in old ledgers, where a check that passed said nothing
    severity: Severity
    repeatable: bool
    observed: float | None = None
    limit: float | None = None
    interval: list[float] | None = None
    rows: int | None = None


class Check(ABC):
    """A check of the gate; each plug-in in checks/ is one file."""

    code: ClassVar[str]  # the file's name
    title: ClassVar[str]  # what is true of a challenger that passes
    severity: ClassVar[Severity]
    repeatable: ClassVar[bool] = True  # whether the same files give the same outcome on any machine at any time

    @abstractmethod
    def observe(self, duel: Duel) -> Observation:
        """Compare the duel with what the check expects."""

    def outcome(self, duel: Duel) -> Outcome:
        """Run the check on a duel."""
        identity = (self.code, self.title)
        try:
            observation = self.observe(duel)
        except NotApplicableError as error:
            return Outcome(*identity, "not applicable", str(error), self.severity, self.repeatable)
        return Outcome(
            *identity,
            "passed" if observation.good else "failed",
            observation.text,
            self.severity,
            self.repeatable,
            _finite(observation.observed),
            _finite(observation.limit),
            [float(end) for end in observation.interval]
            if observation.interval and all(map(math.isfinite, observation.interval))
            else None,
            len(duel.truth) if observation.rows is None else int(observation.rows),
        )


def together(parts: Sequence[Observation], separator: str = "; ") -> Observation:
    """Combine several observations of one check: those that are bad, or else the one nearest to its limit."""
    bad = [part for part in parts if not part.good]
    first = min(bad or parts, key=_room)
    if bad:
        return replace(first, text=separator.join(part.text for part in bad))
    return replace(first, text=first.text + (f" (the nearest to its limit of {len(parts)})" if len(parts) > 1 else ""))


def _room(part: Observation) -> float:
    """Return the distance of a value from its limit, relative to the limit; negative if it is bad."""
    away = abs(part.observed - part.limit) / (abs(part.limit) or 1.0)
    return away if part.good else -away


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def of_gain(gain: Gain, text: str, *, good: bool, limit: float = 0.0) -> Observation:
    """Create an observation from a gain and its interval."""
    return Observation(good, text, gain.value, limit, (gain.low, gain.high))


def versus(duel: Duel, gain: Gain, opponent: str) -> str:
    """Describe the challenger against another model: both values and the interval of the gain."""
    values = f"{duel.task.gate.metric} {gain.new:.4g} against {opponent}'s {gain.old:.4g}: a gain of {gain.value:.4g}"
    return f"{values} ({interval_text(duel, gain)})"


def _group(duel: Duel) -> str | None:
    """Return the column whose values are the groups."""
    between = duel.task.target.interaction
    return between.user if between else duel.task.split.group


def interval_text(duel: Duel, gain: Gain) -> str:
    """Return the interval of a gain in words, with how many independent units the rows are worth."""
    if duel.task.split.complete:
        return f"no interval: the {len(duel.truth)} rows are all combinations of the columns' values"
    interval = f"{duel.task.gate.confidence:.0%} interval {gain.low:.4g} to {gain.high:.4g}"
    if duel.dependence is None or gain.units is None:
        return interval
    unit_name = "blocks of time" if duel.dependence.ordered else f"groups of {_group(duel)}"
    worth = f"the sealed rows are worth {gain.units:.3g} independent {unit_name}"
    return f"{interval}; {worth}" if gain.degrees else f"no interval: {worth}, expected at least {LEAST_UNITS:g}"
