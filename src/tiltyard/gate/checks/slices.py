"""Slices: no slice of the test rows is below the floor or significantly worse than the champion."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.evaluation.slices import MIN_ROWS, Part, parts
from tiltyard.gate.checks.base import Check, NotApplicableError, Observation, together
from tiltyard.gate.duel import Duel


class Slices(Check):
    """A better average can hide a slice of rows that gets worse."""

    code: ClassVar = "slices"
    title: ClassVar = "is good on every slice"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Require each slice to reach the task's floor, and none to be significantly worse than the champion."""
        gate = duel.task.gate
        if not gate.slices:
            raise NotApplicableError("gate.slices names none")
        slices = [*parts(gate.slices, duel.task.columns, duel.rows)]
        if not slices or (gate.slice_floor is None and duel.champion is None):
            why = "there is neither a floor nor a champion" if slices else f"no slice has {MIN_ROWS} rows"
            raise NotApplicableError(why)
        observations = [
            observation
            for part in slices
            for observation in (_floor(duel, part), _champion(duel, part, len(slices)))
            if observation
        ]
        if not observations:
            raise NotApplicableError(f"the champion serves {MIN_ROWS} rows of no slice")
        return together(observations)


def _floor(duel: Duel, part: Part) -> Observation | None:
    """Compare a slice with the floor."""
    floor, metric = duel.task.gate.slice_floor, duel.task.metric
    if floor is None:
        return None
    value = duel.score(duel.challenger, duel.threshold, part.indices)
    comparison = "at least" if metric.higher_is_better else "at most"
    rows = len(part.indices)
    text = f"{duel.task.gate.metric} {value:.4g} on the {rows} rows of {part.name}; expected {comparison} {floor:g}"
    return Observation(metric.gain(value, floor) >= 0, text, value, floor, rows=rows)


def _champion(duel: Duel, part: Part, among: int) -> Observation | None:
    """Compare a slice with the champion; the interval is wider the more slices are compared."""
    if duel.champion is None:
        return None
    indices = part.indices if duel.served is None else part.indices[duel.served[part.indices]]
    if len(indices) < MIN_ROWS:
        return None
    gain = duel.gain(duel.champion, indices, duel.champion_threshold, among)
    text = (
        f"{duel.task.gate.metric} {gain.new:.4g} against the champion's {gain.old:.4g} on the {len(indices)} rows "
        f"of {part.name}; expected a loss of at most {duel.task.gate.slice_loss:g} or one that is not significant"
    )
    good = gain.high >= 0 or gain.value >= -duel.task.gate.slice_loss
    interval = (gain.low, gain.high)
    return Observation(good, text, gain.value, -duel.task.gate.slice_loss, interval, len(indices))
