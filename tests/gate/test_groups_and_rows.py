"""Checks that look at rows, groups and labels, on few of them that are counted by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from duels import build_duel, cancer, diabetes, linear_model

from tiltyard import plugins
from tiltyard.arrays import Array
from tiltyard.gate.checks import robustness
from tiltyard.gate.checks.base import Outcome
from tiltyard.gate.duel import Ask, Duel

SIDES = np.repeat(["large", "small"], 40)
BENIGN = np.tile(np.repeat([1, 0], 20), 2)  # of both sides 20 rows are benign


def outcome(name: str, duel: Duel) -> Outcome:
    """Ask one check."""
    found: Outcome = plugins.load("checks", name)().outcome(duel)
    return found


def saying(outputs: Array) -> Ask:
    """Return a challenger that answers the same whatever it is asked."""
    return lambda _: outputs


def sides(given: list[int], **terms: Any) -> Duel:
    """Return a duel of 40 rows a side, of which so many of each are called benign, beginning with those that are."""
    called = np.concatenate([np.arange(40) < count for count in given]).astype(int)
    duel = build_duel(cancer(), linear_model(cancer()), sensitive=["side"], **terms)
    rows = {name: values[:80] for name, values in duel.rows.items()} | {"side": SIDES}
    return dataclasses.replace(duel, truth=BENIGN, challenger=np.eye(2)[called], rows=rows)


@pytest.mark.parametrize(
    ("given", "terms", "state", "ratio", "told"),
    [
        ([20, 16], {"favourable": "benign"}, "passed", 0.8, "share given benign 0.4 for side small against 0.5"),
        ([20, 15], {"favourable": "benign"}, "failed", 0.75, "share given benign 0.375 for side small against 0.5"),
        ([15, 20], {"favourable": "benign"}, "failed", 0.75, "share given benign 0.375 for side large against 0.5"),
        ([20, 15], {"favourable": "benign", "fairness": 0.75}, "passed", 0.75, "expected at least 0.75"),
        ([30, 20], {"favourable": "malignant"}, "failed", 0.5, "share given malignant 0.25 for side large against 0.5"),
        ([20, 15], {}, "failed", 0.75, "share given benign 0.375 for side small"),
        ([30, 20], {}, "failed", 0.5, "share of malignant found 0.5 for side large against 1 for side small"),
        ([0, 0], {"favourable": "benign"}, "passed", 1.0, "a ratio of 1.00"),
    ],
)
def test_groups_are_given_labels_alike(
    given: list[int], terms: dict[str, Any], state: str, ratio: float, told: str
) -> None:
    """Four fifths of the other side's share will do, of those who get a label and of those who get it rightly."""
    found = outcome("fairness", sides(given, **terms))
    assert found.state == state
    assert found.observed == pytest.approx(ratio)
    assert told in found.text


def test_few_who_are_due_a_label_are_not_compared() -> None:
    """With 19 benign rows on one side only the shares that are given count, not who is found."""
    duel = sides([20, 20], favourable="benign")
    few = duel.truth.copy()
    few[59] = 0
    assert outcome("fairness", duel).text.endswith("(the nearest to its limit of 2)")
    assert "nearest" not in outcome("fairness", dataclasses.replace(duel, truth=few)).text


def test_numbers_miss_groups_alike() -> None:
    """By the mean absolute error of each, whichever way it is."""
    duel = build_duel(diabetes(), linear_model(diabetes()), sensitive=["sex"])
    missed = np.where(duel.rows["sex"] == "one", -4.0, 2.0) * np.where(np.arange(len(duel.truth)) % 2, 1, -1)
    found = outcome("fairness", dataclasses.replace(duel, challenger=(duel.truth + missed)[:, None]))
    assert found.state == "failed"
    assert found.observed == pytest.approx(0.5)
    assert found.text.startswith("mean absolute error 2 for sex two against 4 for sex one: a ratio of 0.50; expected")


@pytest.mark.parametrize(
    ("least", "state", "told"),
    [
        (0.8, "passed", "lowest recall 0.8, of malignant; expected at least 0.8 of every class"),
        (0.85, "failed", "recall of malignant 0.8; expected at least 0.85 of every class"),
        (0.95, "failed", "recall of malignant 0.8, benign 0.9; expected at least 0.95 of every class"),
    ],
)
def test_a_class_that_is_found_just_often_enough_has_not_collapsed(least: float, state: str, told: str) -> None:
    """Every class that has not is named, with its recall."""
    called = np.where(np.isin(np.arange(20), [0, 1, 10]), 1, 0) ^ np.repeat([0, 1], 10)
    plain = build_duel(cancer(), linear_model(cancer()), min_recall=least)
    duel = dataclasses.replace(plain, truth=np.repeat([0, 1], 10), challenger=np.eye(2)[called])
    found = outcome("collapse", duel)
    assert (found.state, found.text, found.observed, found.limit, found.rows) == (state, told, 0.8, least, 20)


@pytest.mark.parametrize(
    ("shares", "truth", "most", "state", "rare"),
    [
        ([0.25, 0.75], 0, 0.02, "passed", True),
        ([0.0, 1.0], 1, 0.02, "passed", False),
        ([0.0, 1.0], 0, 0.02, "failed", False),
    ],
)
def test_one_row_is_calibrated_by_chance(shares: list[float], truth: int, most: float, state: str, rare: bool) -> None:
    """Who is 75 % sure is wrong in one of four rows; who is sure is never wrong by chance."""
    plain = build_duel(cancer(), linear_model(cancer()), calibration=most)
    found = outcome("calibration", dataclasses.replace(plain, truth=np.array([truth]), challenger=np.array([shares])))
    assert (found.state, "one in 100 calibrated models" in found.text) == (state, rare)


@pytest.mark.parametrize(("most", "state"), [(0.5, "passed"), (0.49, "failed")])
def test_an_error_of_just_what_is_allowed_is_calibrated(most: float, state: str) -> None:
    """Who is sure of two rows and wrong in one is off by a half, none of it by chance."""
    plain = build_duel(cancer(), linear_model(cancer()), calibration=most)
    found = outcome("calibration", dataclasses.replace(plain, truth=np.array([1, 0]), challenger=np.eye(2)[[1, 1]]))
    assert (found.state, found.observed, found.limit) == (state, 0.5, most)
    assert "one in 100 calibrated models" not in found.text


def test_a_gap_of_just_what_is_allowed_is_small() -> None:
    """Its figure is the share that is lost."""
    terms: dict[str, Any] = {"more": {"train": 0.01}}
    gap = build_duel(cancer(), linear_model(cancer()), **terms).gap
    assert gap is not None
    for most, state in ((gap, "passed"), (gap * (1 - 1e-9), "failed")):
        found = outcome("generalization_gap", build_duel(cancer(), linear_model(cancer()), max_gap=most, **terms))
        assert (found.state, found.observed, found.limit) == (state, gap, most)


def test_noise_may_cost_just_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the gain over the baseline; of very many rows only some are asked."""
    monkeypatch.setattr(robustness, "ROWS", 100)
    plain = build_duel(cancer(), linear_model(cancer()))
    spoiled = (plain.challenger + plain.baseline) / 2
    clean, nothing, value = (plain.score(some, np.arange(100)) for some in (plain.challenger, plain.baseline, spoiled))
    lost = (value - clean) / (nothing - clean)
    for most, state in ((lost * (1 + 1e-9), "passed"), (lost * (1 - 1e-9), "failed")):
        duel = build_duel(
            cancer(), linear_model(cancer()), more={"ask": lambda asked: spoiled[: len(asked["side"])]}, noise_loss=most
        )
        found = outcome("robustness", duel)
        assert (found.state, found.limit, found.rows) == (state, most, 100)
        assert found.observed == pytest.approx(lost)
    assert "noise of 0.1 deviations" in found.text


def test_after_the_worst_step_something_must_be_left() -> None:
    """A model that is no better than the baseline then has lost all, which is just allowed; a worse one fails."""
    plain = build_duel(cancer(), linear_model(cancer()), noise_loss=5.0)
    for spoiled, state in ((plain.baseline, "passed"), (plain.baseline[:, ::-1], "failed")):
        found = outcome("robustness", dataclasses.replace(plain, ask=saying(spoiled)))
        assert (found.state, found.limit) == (state, 1.0)
        assert "the worst of 8 steps of 0.1 deviations" in found.text


def rule(**told: Any) -> dict[str, Any]:
    """Return the terms of one rule of behaviour."""
    return {"behaviours": [told]}


@pytest.mark.parametrize(("share", "state"), [(0.75, "passed"), (0.76, "failed")])
def test_a_rule_may_be_broken_by_as_many_rows_as_the_task_lets(share: float, state: str) -> None:
    """Of the rows that can be changed: here every fourth answer falls, which it must not."""
    duel = build_duel(diabetes(), linear_model(diabetes()), **rule(vary="bmi", by=1.0, never="lower", share=share))
    few = {name: values[:100] for name, values in duel.rows.items()}
    falls = np.where(np.arange(100) % 4 == 0, -1.0, 0.0)[:, None]
    asked = dataclasses.replace(
        duel, truth=duel.truth[:100], challenger=np.zeros((100, 1)), rows=few, ask=lambda _: falls
    )
    found = outcome("behaviour", asked)
    assert (found.state, found.observed, found.limit, found.rows) == (state, 0.75, share, 100)


def test_rows_beyond_the_bounds_are_not_asked() -> None:
    """What is on a bound after the change is within; a rule that fits no row fails, and says so."""
    duel = build_duel(diabetes(), linear_model(diabetes()), **rule(vary="bmi", by=1.0, never="lower"))
    values = np.repeat([0.5, 1.0, 9.0, 9.5], [5, 10, 20, 25])
    column = duel.task.columns["bmi"].model_copy(update={"bounds": (2.0, 10.0)})
    task = duel.task.model_copy(update={"columns": {**duel.task.columns, "bmi": column}})
    seen = []

    def ask(rows: Any) -> Any:
        seen.append(rows["bmi"])
        return np.where(rows["bmi"] == values, -9.0, 1.0)[:, None]

    few = {name: some[:60] for name, some in duel.rows.items()} | {"bmi": values}
    asked = dataclasses.replace(duel, task=task, truth=duel.truth[:60], challenger=np.zeros((60, 1)), rows=few, ask=ask)
    found = outcome("behaviour", asked)
    assert (found.state, found.observed, found.rows) == ("passed", 1.0, 30)
    assert np.unique(seen[0]).tolist() == [0.5, 2.0, 9.5, 10.0]
    none = dataclasses.replace(asked, rows={**few, "bmi": np.full(60, 9.5)})
    found = outcome("behaviour", none)
    assert (found.state, found.observed, found.limit, found.rows) == ("failed", 0.0, 0.95, 0)
    assert (
        found.text
        == "bmi +1: never a lower answer: no row can be changed this way within the bounds; expected at least 1"
    )


def test_another_name_must_not_change_the_label() -> None:
    """Rows that have it already are not asked; of the others the likeliest label counts."""
    duel = build_duel(cancer(), linear_model(cancer()), **rule(vary="side", to="large", never="another"))
    small = duel.rows["side"] == "small"
    seen = []

    def ask(rows: Any) -> Any:
        seen.append(rows["side"])
        return np.eye(2)[np.where(small & (np.arange(len(small)) % 2 == 0), 1, 0)]

    found = outcome("behaviour", dataclasses.replace(duel, challenger=np.eye(2)[np.zeros(len(small), int)], ask=ask))
    assert np.unique(seen[0]).tolist() == ["large"]
    assert found.rows == small.sum()
    assert found.observed == pytest.approx(1 - (np.flatnonzero(small) % 2 == 0).mean())


def test_a_rule_about_a_label_looks_at_its_probability() -> None:
    """That of the named label, though another one is the likeliest."""
    duel = build_duel(
        cancer(), linear_model(cancer()), **rule(vary="worst_area", by=1.0, never="higher", label="malignant")
    )
    rows = len(duel.truth)
    before, after = (np.tile([share, 1 - share], (rows, 1)) for share in (0.3, 0.4))
    for challenger, answers, state in ((before, after, "failed"), (after, before, "passed")):
        asked = dataclasses.replace(duel, challenger=challenger, ask=saying(answers))
        assert outcome("behaviour", asked).state == state
