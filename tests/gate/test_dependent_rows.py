"""Checks on rows of groups and series: what many alike rows show is not counted as many times."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from duels import build_duel, cancer, diabetes, linear_model

from tiltyard import plugins
from tiltyard.arrays import Array
from tiltyard.gate.checks.base import Outcome
from tiltyard.gate.duel import Duel
from tiltyard.modeling.metrics.dependence import Dependence


def outcome(name: str, duel: Duel) -> Outcome:
    """Run one check."""
    result: Outcome = plugins.load("checks", name)().outcome(duel)
    return result


def grouped(groups: int, size: int) -> Dependence:
    """Return the dependence of rows in groups of equal size."""
    return Dependence(np.repeat(np.arange(groups), size), ordered=False)


def labels(new: Array, old: Array, dependence: Dependence | None, **terms: Any) -> Duel:
    """Return a duel in which both models are right on some rows."""
    truth = np.zeros(len(new), int)
    duel = build_duel(cancer(), linear_model(cancer()), **terms)
    rows = {name: np.resize(values, (len(new), *values.shape[1:])) for name, values in duel.rows.items()}
    outputs = [np.eye(2)[np.where(right, 0, 1)] * 0.8 + 0.1 for right in (new, old)]
    return dataclasses.replace(
        duel,
        truth=truth,
        challenger=outputs[0],
        champion=outputs[1],
        baseline=np.full((len(new), 2), 0.5),
        rows=rows,
        dependence=dependence,
    )


@pytest.mark.parametrize(("dependence", "state"), [(None, "passed"), (grouped(4, 25), "failed")])
def test_labels_of_one_group_do_not_win(dependence: Dependence | None, state: str) -> None:
    """Twenty labels more are a significant gain, unless all of them are of one group in four."""
    new = np.arange(100) < 90
    old = new & ~((np.arange(100) >= 25) & (np.arange(100) < 45))
    duel = labels(new, old, dependence, metric="accuracy")
    assert outcome("mcnemar", duel).state == outcome("champion", duel).state == state


def test_labels_won_in_every_group_win() -> None:
    """Three labels more in each of ten groups are a gain, by the t-test between groups."""
    new, old = np.ones(100, bool), np.arange(100) % 10 > 2
    duel = labels(new, old, grouped(10, 10), metric="accuracy")
    assert (outcome("mcnemar", duel).state, outcome("champion", duel).state) == ("passed", "passed")


def test_one_group_proves_nothing_and_the_sentence_says_so() -> None:
    """Of one group there is no interval; nothing is proven, and no loss is significant."""
    new, old = np.ones(100, bool), np.arange(100) % 10 > 2
    duel = labels(new, old, grouped(1, 100), metric="accuracy")
    duel = dataclasses.replace(duel, task=duel.task.model_copy(update={"split": _by_group(duel)}))
    champion = outcome("champion", duel)
    assert (champion.state, champion.interval) == ("failed", None)
    assert "no interval: the sealed rows are worth 1 independent groups of clinic, expected at least 2" in champion.text
    assert "detect a gain" not in champion.text
    assert duel.evidence()["over_champion"] is None
    assert duel.champion is not None
    worse = dataclasses.replace(duel, challenger=duel.champion, champion=duel.challenger)
    assert outcome("mcnemar", dataclasses.replace(worse, task=_judged_by(worse, "log_loss"))).state == "passed"


def _by_group(duel: Duel) -> Any:
    return duel.task.split.model_copy(update={"group": "clinic"})


def _judged_by(duel: Duel, metric: str) -> Any:
    return duel.task.model_copy(update={"gate": duel.task.gate.model_copy(update={"metric": metric})})


@pytest.mark.parametrize(("dependence", "state"), [(None, "failed"), (grouped(6, 40), "passed")])
def test_calibration_error_of_few_groups_can_be_chance(dependence: Dependence | None, state: str) -> None:
    """Labels of a group are right together: all in four groups, none in two, for predictions of 90 %."""
    right = np.repeat([True, True, False, True, False, True], 40)
    duel = labels(right, right, dependence, calibration=0.1)
    assert outcome("calibration", duel).state == state


def test_miscalibration_in_every_group_is_no_chance() -> None:
    """Half of the predictions of 90 % are wrong in each of forty groups."""
    right = np.arange(400) % 2 == 0
    assert outcome("calibration", labels(right, right, grouped(40, 10), calibration=0.1)).state == "failed"


def test_fairness_needs_several_units_of_a_group() -> None:
    """Rates of two customers are about these customers, not about their group."""
    new = np.ones(160, bool)
    new[80:] = np.arange(80) % 2 == 0
    duel = labels(new, new, None, sensitive=["side"], favourable="malignant")
    sides = np.repeat(["large", "small"], 80)
    duel = dataclasses.replace(duel, rows={**duel.rows, "side": sides})
    assert outcome("fairness", duel).state == "failed"
    several, few = grouped(16, 10), grouped(4, 40)
    assert outcome("fairness", dataclasses.replace(duel, dependence=several)).state == "failed"
    result = outcome("fairness", dataclasses.replace(duel, dependence=few))
    assert (result.state, result.text) == (
        "not applicable",
        "no two groups have 20 sealed rows of 5 units of the split",
    )


def test_slices_draw_the_groups_of_their_rows() -> None:
    """A slice whose loss lies in one group of it is not surely worse; by rows it would be."""
    new = np.ones(200, bool)
    new[100:125] = False
    duel = labels(new, np.ones(200, bool), None, metric="accuracy", slices=["side"])
    duel = dataclasses.replace(duel, rows={**duel.rows, "side": np.repeat(["large", "small"], 100)})
    assert outcome("slices", duel).state == "failed"
    assert outcome("slices", dataclasses.replace(duel, dependence=grouped(8, 25))).state == "passed"


def test_independent_rows_are_judged_as_before() -> None:
    """Without dependence the evidence holds no new value, and the interval is that of rows."""
    duel = build_duel(diabetes(), linear_model(diabetes()))
    assert {*duel.evidence()["over_baseline"]} == {"new", "old", "value", "low", "high"}
