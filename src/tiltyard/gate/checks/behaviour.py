"""Behavioural tests: predictions change as domain rules require when one input changes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.config.gate_section import Behaviour as Rule
from tiltyard.gate.checks.base import Check, NotApplicableError, Observation, together
from tiltyard.gate.duel import Ask, Duel
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.problems.classification import labels, probabilities


class Behaviour(Check):
    """Test rows cannot show how the prediction for one row changes with one of its values; rules can."""

    code: ClassVar = "behaviour"
    title: ClassVar = "predictions change as the rules require"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Require each rule of the task to hold on its share of the rows."""
        if not duel.task.gate.behaviours or duel.ask is None:
            raise NotApplicableError("gate.behaviours names no rule")
        return together([_check_rule(duel, rule, duel.ask) for rule in duel.task.gate.behaviours])


def _check_rule(duel: Duel, rule: Rule, ask: Ask) -> Observation:
    """Compare the predictions before and after the change with one rule."""
    changed, places = _changed(duel, rule)
    if not len(places):
        text = f"{rule.description}: no row can be changed this way within the bounds; expected at least 1"
        return Observation(False, text, 0.0, rule.share, rows=0)
    before = _scalar_predictions(duel, rule, duel.challenger)[places]
    after = _scalar_predictions(duel, rule, ask(changed))[places]
    rose = after - before
    wrong = {"lower": rose < -rule.within, "higher": rose > rule.within, "another": np.abs(rose) > rule.within}
    good = 1 - float(wrong[rule.never].mean())
    text = f"{rule.description}: true of {good:.1%} of rows; expected {rule.share:.1%}"
    return Observation(good >= rule.share, text, good, rule.share, rows=len(places))


def _changed(duel: Duel, rule: Rule) -> tuple[Rows, Array]:
    """Change a column in all rows; also return the indices of the rows that changed and are within bounds."""
    values, column = duel.rows[rule.vary], duel.task.columns[rule.vary]
    if rule.by is None:
        spelled = column.parse(column.read([rule.to]), rule.vary)
        new = np.broadcast_to(spelled, values.shape)
        return {**duel.rows, rule.vary: new}, np.flatnonzero(new != values)
    low, high = column.limits if isinstance(column, Number) else (-np.inf, np.inf)
    new = values + rule.by
    inside = (new >= low) & (new <= high)
    return {**duel.rows, rule.vary: np.where(inside, new, values)}, np.flatnonzero(inside)


def _scalar_predictions(duel: Duel, rule: Rule, outputs: Array) -> Array:
    """Return one number per row: the prediction, the probability of a label, or the index of the predicted label."""
    if duel.task.problem == "multilabel" and rule.label is not None:
        return outputs[:, duel.task.labels.index(rule.label)].astype(np.float64)
    if not duel.task.classes:
        return outputs.reshape(len(outputs), -1)[:, 0].astype(np.float64)
    shares = probabilities(outputs).astype(np.float64)
    return labels(outputs, duel.threshold) if rule.label is None else shares[:, duel.task.classes.index(rule.label)]
