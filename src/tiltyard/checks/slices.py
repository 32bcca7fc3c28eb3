"""Good on every part of the rows that the task names."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.duel import Duel
from tiltyard.gate import Check, NotApplicableError
from tiltyard.slices import FEWEST, Part, parts


class Slices(Check):
    """A gain on most rows may be paid for by a few: by those who rent, by the night, by one machine."""

    code: ClassVar = "slices"
    title: ClassVar = "is good on every slice"
    severity: ClassVar = "HOLD"

    def complaint(self, duel: Duel) -> str | None:
        """Want each slice at the task's floor, and none surely worse than by the champion beyond the margin."""
        gate = duel.task.gate
        if not gate.slices:
            raise NotApplicableError("gate.slices names none")
        found = [*parts(gate.slices, duel.task.columns, duel.rows)]
        if not found or (gate.slice_floor is None and duel.champion is None):
            why = "there is neither a floor nor a champion" if found else f"no slice has {FEWEST} rows"
            raise NotApplicableError(why)
        told = [text for part in found for text in (_below(duel, part), _lost(duel, part, len(found))) if text]
        return "; ".join(told) or None


def _below(duel: Duel, part: Part) -> str | None:
    """Hold a slice against the floor."""
    floor, metric = duel.task.gate.slice_floor, duel.task.metric
    value = duel.score(duel.challenger, part.places)
    if floor is None or metric.gain(value, floor) >= 0:
        return None
    most = "at least" if metric.higher_is_better else "at most"
    rows = len(part.places)
    return f"{duel.task.gate.metric} {value:.4g} on the {rows} rows of {part.name}; expected {most} {floor:g}"


def _lost(duel: Duel, part: Part, among: int) -> str | None:
    """Hold a slice against the champion; of many slices one is soon worse by chance, so each must be the surer."""
    if duel.champion is None:
        return None
    gain = duel.gain(duel.champion, part.places, among=among)
    if gain.high >= 0 or gain.value >= -duel.task.gate.slice_loss:
        return None
    return (
        f"{duel.task.gate.metric} {gain.new:.4g} against the champion's {gain.old:.4g} on the {len(part.places)} rows "
        f"of {part.name}; expected a loss of at most {duel.task.gate.slice_loss:g} or one that may be chance"
    )
