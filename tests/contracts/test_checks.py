"""Every check plug-in: passed or failed, it says in a sentence and in numbers what it saw and what it expected."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import numpy as np
import pytest
from workspaces import ROOT

from tiltyard import plugins
from tiltyard.config import loader
from tiltyard.config.gate_section import Behaviour
from tiltyard.config.task import Task
from tiltyard.evaluation.simple_model import SimpleModel
from tiltyard.gate.checks.base import Check, Observation, Outcome, together
from tiltyard.gate.duel import Duel
from tiltyard.modeling.columns.category import Category
from tiltyard.modeling.metrics.bootstrap import Gain
from tiltyard.monitoring.live_comparison import LiveComparison
from tiltyard.workspace import Workspace

TRUTH = np.arange(60) % 3
SURE = np.eye(3)[TRUTH]
UNSURE = np.full((60, 3), 1 / 3) + np.array([0.01, 0, 0])
GARDEN = np.array(["north", "south"])[np.arange(60) // 3 % 2]
TERMS = {
    "require": {"accuracy": 0.8},
    "slices": ["garden"],
    "behaviours": [Behaviour(vary="petal_length", by=1.0, never="higher", label="setosa")],
    "sensitive": ["garden"],
    "approval": True,
}
ORIGIN = {"data": "d", "test": "t", "version": "v", "seed": 0, "parameters": 131, "commit": None}
FACTS = {"size_mb": 0.1, "memory_mb": 80.0, "parity": 1e-6, "empty": [], "dirty": None, "origin": ORIGIN}
# What else is wrong with the challenger, where a check looks at something of its own.
OTHERWISE: dict[str, dict[str, Any]] = {
    "approval": {"approvals": []},
    "calibration": {"challenger": np.eye(3)[(TRUTH + 1) % 3]},
    "fairness": {"challenger": np.eye(3)[np.where(GARDEN == "north", 0, 1)]},
    "robustness": {"challenger": SURE},
    "test_reuse": {"uses": 51},
}


def check(name: str) -> Check:
    """Make the plug-in."""
    made: Check = plugins.load("checks", name)()
    return made


def judged_by(**terms: Any) -> Task:
    """Return iris, with a column of names, and terms of a test's own."""
    task = loader.load(Workspace(ROOT), "iris")
    columns = {**task.columns, "garden": Category(values=["north", "south"])}
    return task.model_copy(update={"columns": columns, "gate": task.gate.model_copy(update=terms)})


@pytest.fixture
def better() -> Duel:
    """A challenger that is always right, against a champion that is wrong on every fourth row."""
    champion = np.eye(3)[np.where(np.arange(60) % 4 == 0, (TRUTH + 1) % 3, TRUTH)]
    lengths = {name: 4 + np.arange(60) / 30 for name in ("sepal_length", "sepal_width", "petal_length", "petal_width")}
    return Duel(
        task=judged_by(**TERMS),
        truth=TRUTH,
        challenger=SURE,
        baseline=UNSURE,
        champion=champion,
        context={},
        train=1.0,
        latency_ms=0.1,
        live=LiveComparison(Gain(0.9, 0.8, 0.1, 0.05, 0.15), 300, same=True),
        simple=SimpleModel("a linear model", champion),
        rows={**lengths, "garden": GARDEN},
        ask=lambda _: SURE,
        drift=[{"feature": "petal_length", "psi": 0.01, "drifted": False}],
        facts=FACTS,
        approvals=["anna"],
    )


@pytest.fixture
def worse(better: Duel, check_name: str) -> Duel:
    """A slow challenger that has given up two classes, though it knew its training rows by heart, and knows no past."""
    return dataclasses.replace(
        better,
        **{
            "challenger": UNSURE,
            "latency_ms": 500.0,
            "live": LiveComparison(Gain(0.7, 0.8, -0.1, -0.15, -0.05), 300, same=True),
            "ask": lambda _: np.eye(3)[np.zeros(60, int)],
            "drift": [{"feature": "petal_length", "psi": 0.8, "drifted": True}],
            "facts": {
                **FACTS,
                "size_mb": 900.0,
                "parity": 0.1,
                "empty": ["Slices"],
                "origin": {**ORIGIN, "data": None},
            },
            **OTHERWISE.get(check_name, {}),
        },
    )


INTERVALS = {"baseline", "champion", "live_quality", "simple_model", "slices"}  # checks that look at an interval
ROWS = {"live_quality": 300}  # rows that are not the sealed ones


def recorded(outcome: Outcome) -> None:
    """Want a sentence with both numbers, and those numbers by themselves, as JSON takes them."""
    assert "expected" in outcome.text
    assert len(re.findall(r"\d+\.?\d*", outcome.text)) >= 2
    assert isinstance(outcome.observed, float)
    assert isinstance(outcome.limit, float)
    assert outcome.rows == ROWS.get(outcome.code, outcome.rows)
    assert outcome.rows
    if outcome.code in INTERVALS:
        assert outcome.interval is not None
        assert outcome.interval[0] <= outcome.observed <= outcome.interval[1]
    text = json.dumps(dataclasses.asdict(outcome), allow_nan=False)
    assert Outcome(**json.loads(text)) == outcome


def test_a_check_that_passed_says_what_it_saw(check_name: str, better: Duel) -> None:
    """Of a clearly better challenger: a sentence, the figure, its limit, the rows, and an interval where it has one."""
    outcome = check(check_name).outcome(better)
    assert outcome.state == "passed"
    recorded(outcome)


def test_a_check_that_failed_says_what_it_saw(check_name: str, worse: Duel) -> None:
    """Of a clearly worse one: the same."""
    outcome = check(check_name).outcome(worse)
    assert outcome.state == "failed"
    recorded(outcome)


def test_passed_and_failed_differ_in_what_was_seen(check_name: str, better: Duel, worse: Duel) -> None:
    """No check says the same of both, or shows the same figure."""
    good, bad = (check(check_name).outcome(duel) for duel in (better, worse))
    assert good.text != bad.text
    assert good.observed != bad.observed


def test_what_is_no_number_is_not_recorded_as_one(better: Duel) -> None:
    """JSON has neither NaN nor infinity, and the pointer that holds the checks would not be written."""
    seen = Observation(True, "a figure", float("inf"), float("nan"), (float("-inf"), 1.0), 3)

    class Odd(Check):
        """Sees what is no number."""

        code, title, severity = "odd", "is odd", "HOLD"

        def observe(self, duel: Duel) -> Observation:
            """Look at nothing."""
            return seen

    outcome = Odd().outcome(better)
    assert (outcome.observed, outcome.limit, outcome.interval, outcome.rows) == (None, None, None, 3)


def test_of_several_parts_those_that_fail_are_told_or_the_nearest_to_its_limit() -> None:
    """A slice that just passes is worth more than one that passes easily."""
    parts = [Observation(True, f"part {value}", value, 0.5) for value in (0.9, 0.51, 0.7)]
    assert together(parts).text == "part 0.51 (the nearest to its limit of 3)"
    assert together(parts[:1]).text == "part 0.9"
    bad = [Observation(False, f"bad {value}", value, 0.5) for value in (0.4, 0.1)]
    found = together([*parts, *bad])
    assert (found.good, found.text, found.observed) == (False, "bad 0.4; bad 0.1", 0.1)


def test_is_named_and_graded(check_name: str) -> None:
    """The code is the file's name; the title reads as what a challenger shows; the severity is one of two."""
    made = check(check_name)
    assert made.code == check_name
    assert made.title
    assert made.severity in {"HOLD", "REJECT"}


def test_without_a_champion_there_is_none_to_beat(better: Duel) -> None:
    """Not applicable, with the reason, is neither passed nor failed."""
    outcome = check("champion").outcome(dataclasses.replace(better, champion=None))
    assert (outcome.state, outcome.text) == ("not applicable", "there is no champion yet")


def test_numbers_have_no_classes_to_collapse(better: Duel) -> None:
    """Regression is not judged by recall."""
    task = loader.load(Workspace(ROOT), "diabetes")
    outcome = check("collapse").outcome(dataclasses.replace(better, task=task))
    assert (outcome.state, outcome.text) == ("not applicable", "regression has no classes")


def test_a_collapsed_class_is_named(better: Duel) -> None:
    """One class never found is enough, however good the others are."""
    lost = np.where(TRUTH == 2, 1, TRUTH)
    outcome = check("collapse").outcome(dataclasses.replace(better, challenger=np.eye(3)[lost]))
    assert outcome.text == "recall of virginica 0; expected at least 0.05 of every class"


def test_an_equal_champion_is_not_beaten(better: Duel) -> None:
    """The same answers gain nothing, and an interval from zero to zero does not exclude zero."""
    outcome = check("champion").outcome(dataclasses.replace(better, champion=better.challenger))
    assert outcome.state == "failed"
    assert "a gain of 0 (95% interval 0 to 0)" in outcome.text


def test_a_sure_gain_below_the_minimum_is_not_enough(better: Duel) -> None:
    """The interval may exclude zero and all of it still be too small to be worth a change."""
    gate = better.task.gate.model_copy(update={"minimum_gain": 0.9})
    outcome = check("champion").outcome(dataclasses.replace(better, task=better.task.model_copy(update={"gate": gate})))
    assert better.over_champion is not None
    assert better.over_champion.proven
    assert outcome.text.endswith("expected an interval above zero that reaches 0.9")


def test_half_the_sick_missed_does_not_pass_by_accuracy() -> None:
    """99 % accuracy on 100 patients of whom 2 are sick: one found patient more than the majority is no proof."""
    task = loader.load(Workspace(ROOT), "iris")
    gate = task.gate.model_copy(update={"metric": "accuracy"})
    truth, label = np.array([1, 1] + [0] * 98), np.array([1, 0] + [0] * 98)
    outputs, baseline = np.eye(3)[label], np.tile([0.98, 0.02, 0.0], (100, 1))
    duel = Duel(task.model_copy(update={"gate": gate}), truth, outputs, baseline, None, {}, 0.99, 0.1)
    assert duel.over_baseline.new == 0.99
    assert check("baseline").outcome(duel).state == "failed"


def test_the_gap_of_an_error_near_zero_is_small() -> None:
    """Errors of 0.01 and 0.5 differ fifty times, but against a baseline of 30 hardly at all."""
    task = loader.load(Workspace(ROOT), "diabetes")
    truth = np.linspace(0, 100, 60)
    duel = Duel(task, truth, truth[:, None] + 0.5, np.full((60, 1), 50.0), None, {}, 0.01, 0.1)
    assert duel.gap == pytest.approx(0.49 / (truth.std() - 0.01), rel=0.02)
    assert check("generalization_gap").outcome(duel).state == "passed"


def test_the_gap_of_a_model_that_learned_nothing_is_not_judged(better: Duel) -> None:
    """There is no gain over the baseline of which a share could be lost: beating the baseline is another check."""
    outcome = check("generalization_gap").outcome(dataclasses.replace(better, train=0.1))
    assert outcome.state == "not applicable"


def test_live_truths_that_are_few_or_none_judge_nothing(better: Duel) -> None:
    """Not applicable, with how many there are and how many there should be."""
    few = dataclasses.replace(better, live=LiveComparison(Gain(0.1, 0.9, -0.8, -0.9, -0.7), 199, same=True))
    for duel, received in ((few, "199"), (dataclasses.replace(better, live=None), "too few")):
        outcome = check("live_quality").outcome(duel)
        assert outcome.state == "not applicable"
        assert outcome.text == f"live truths of both: expected at least 200; received {received}"


def test_a_loss_within_chance_is_let_through(better: Duel) -> None:
    """Sealed rows decide who wins; live ones only stop what is surely worse."""
    live = LiveComparison(Gain(0.79, 0.8, -0.01, -0.05, 0.03), 300, same=False)
    assert check("live_quality").outcome(dataclasses.replace(better, live=live)).state == "passed"
