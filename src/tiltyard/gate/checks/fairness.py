"""Fairness: similar rates for all groups of a sensitive column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import numpy as np

from tiltyard.arrays import Array
from tiltyard.evaluation.slices import MIN_ROWS, Part, groups
from tiltyard.gate.checks.base import Check, NotApplicableError, Observation, together
from tiltyard.gate.duel import Duel
from tiltyard.modeling.metrics.scores import row_errors
from tiltyard.modeling.problems import multilabel
from tiltyard.modeling.problems.classification import labels as predicted_labels

MIN_UNITS = 5  # customers, patients or time steps of a group; rates of fewer are about these, not about the group


class Rate(NamedTuple):
    """A rate, and its value for each group."""

    name: str
    by_group: dict[str, float]


class Fairness(Check):
    """Selection rate and recall should not depend on the group; four fifths is the usual minimum ratio."""

    code: ClassVar = "fairness"
    title: ClassVar = "is fair across groups"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Require the smallest rate of any group to be at least the task's share of the largest."""
        gate, observations = duel.task.gate, list[Observation]()
        if not gate.sensitive:
            raise NotApplicableError("gate.sensitive names no column")
        for name in gate.sensitive:
            parts = groups(name, duel.task.columns[name], duel.rows[name])
            rates = _rates(duel, [part for part in parts if _is_large(duel, part)])
            observations += [_compared(rate, gate.fairness) for rate in rates]
        if not observations:
            units = f" of {MIN_UNITS} units of the split" if duel.dependence else ""
            raise NotApplicableError(f"no two groups have {MIN_ROWS} sealed rows{units}")
        return together(observations)


def _is_large(duel: Duel, part: Part) -> bool:
    """Return whether a group has enough rows, and enough units if rows depend on one another."""
    units = len(np.unique(duel.dependence.unit[part.indices])) if duel.dependence else MIN_UNITS
    return len(part.indices) >= MIN_ROWS and units >= MIN_UNITS


def _compared(rate: Rate, minimum: float) -> Observation:
    """Compare the smallest rate of any group with the largest."""
    low, high = (pick(rate.by_group, key=lambda group: rate.by_group[group]) for pick in (min, max))
    ratio = rate.by_group[low] / rate.by_group[high] if rate.by_group[high] else 1.0
    values = f"{rate.by_group[low]:.4g} for {low} against {rate.by_group[high]:.4g} for {high}"
    text = f"{rate.name} {values}: a ratio of {ratio:.2f}; expected at least {minimum:g}"
    return Observation(ratio >= minimum, text, ratio, minimum)


def _rates(duel: Duel, parts: list[Part]) -> Iterator[Rate]:
    """Yield the rates that at least two groups have."""
    if not duel.task.labels:
        scales = duel.task.evaluator.scales(duel.context)
        errors = row_errors(duel.truth, duel.challenger, labels=False, scales=scales)
        rates = [Rate("mean absolute error", {part.name: float(errors[part.indices].mean()) for part in parts})]
    else:
        labels = [duel.task.gate.favourable] if duel.task.gate.favourable else duel.task.labels
        rates = [rate for name in labels for rate in _of_label(name, *_rows_of_label(duel, name), parts)]
    yield from (rate for rate in rates if len(rate.by_group) > 1)


def _rows_of_label(duel: Duel, name: str) -> tuple[Array, Array]:
    """Return for which rows a label is predicted, and which have it."""
    place = duel.task.labels.index(name)
    if duel.task.problem == "multilabel":
        return multilabel.predicted(duel.challenger, duel.threshold)[:, place], duel.truth[:, place]
    return predicted_labels(duel.challenger, duel.threshold) == place, duel.truth == place


def _of_label(name: str, predicted: Array, due: Array, parts: list[Part]) -> Iterator[Rate]:
    yield Rate(f"share predicted as {name}", {part.name: float(predicted[part.indices].mean()) for part in parts})
    rightly = {part.name: predicted[part.indices][due[part.indices]] for part in parts}
    recalls = {group: float(rows.mean()) for group, rows in rightly.items() if len(rows) >= MIN_ROWS}
    yield Rate(f"recall of {name}", recalls)
