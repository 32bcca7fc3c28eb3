"""Contract of all checks: passed or failed, a sentence and recorded values state the result and the limit."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from workspaces import ROOT

from tiltyard import plugins
from tiltyard.config import loader
from tiltyard.contracts import checks as contract
from tiltyard.contracts.duels import (
    CONFIDENT,
    GARDEN,
    SAMPLES,
    TRUTH,
    always_right,
    bad,
)
from tiltyard.gate.checks.base import Check, Observation, Outcome, together
from tiltyard.gate.duel import Duel
from tiltyard.modeling.metrics.bootstrap import Gain
from tiltyard.modeling.metrics.dependence import Dependence
from tiltyard.monitoring.live_comparison import LiveComparison
from tiltyard.workspace import Workspace

# Further changes to the challenger for checks of other properties.
EXTRA_CHANGES: dict[str, dict[str, Any]] = {
    "approval": {"approvals": []},
    "calibration": {"challenger": np.eye(3)[(TRUTH + 1) % 3]},
    "fairness": {"challenger": np.eye(3)[np.where(GARDEN == "north", 0, 1)]},
    "robustness": {"challenger": CONFIDENT},
    "test_reuse": {"uses": 51},
    "memorization": {"samples": {**SAMPLES, "copies": {"share": 0.4, "limit": 0.3, "rows": 60}}},
    "sample_variety": {"samples": {**SAMPLES, "variety": 0.01}},
}


def check(name: str) -> Check:
    """Return an instance of the check."""
    instance: Check = plugins.load("checks", name)()
    return instance


def ranked(duel: Duel, ndcg: float) -> Duel:
    """Return a duel about ratings, whose challenger has this NDCG for each of 30 users; popularity has .5 and .6."""
    user = np.arange(60) // 2
    values = np.full((60, 1), ndcg)
    challenger = np.hstack([TRUTH[:, None], values, values, values, np.full((60, 1), 0.5)])
    baseline = challenger.copy()
    baseline[:, 1] = 0.5 + 0.1 * (user % 2)
    task = loader.load(Workspace(ROOT), "recommendation_books")
    dependence = Dependence(user, ordered=False)
    return dataclasses.replace(duel, task=task, challenger=challenger, baseline=baseline, dependence=dependence)


@pytest.fixture
def better(request: pytest.FixtureRequest) -> Duel:
    """A challenger that is always right, against a champion that is wrong on every fourth row."""
    duel = always_right()
    about_ratings = "check_name" in request.fixturenames and request.getfixturevalue("check_name") == "popularity"
    return ranked(duel, 0.9) if about_ratings else duel


@pytest.fixture
def worse(better: Duel, check_name: str) -> Duel:
    """A slow challenger that predicts one class, overfitted, and has incomplete provenance."""
    if check_name == "popularity":
        return ranked(better, 0.4)
    return bad(EXTRA_CHANGES.get(check_name))


INTERVALS = {"baseline", "champion", "live_quality", "popularity", "reference", "slices"}  # checks with an interval
ROWS = {"live_quality": 300}  # row counts of checks that use other rows than the sealed ones


def assert_recorded(outcome: Outcome) -> None:
    """Assert that checks of other rows say how many, and that those with an interval record it."""
    assert outcome.rows == ROWS.get(outcome.code, outcome.rows)
    assert outcome.interval is not None or outcome.code not in INTERVALS


def test_passed_check_is_recorded(check_name: str, better: Duel) -> None:
    """A clearly better challenger passes; sentence, value, limit, rows and interval are recorded."""
    assert_recorded(contract.passes(check(check_name), better))


def test_failed_check_is_recorded(check_name: str, worse: Duel) -> None:
    """A clearly worse challenger fails with the same records."""
    assert_recorded(contract.fails(check(check_name), worse))


def test_passed_and_failed_results_differ(check_name: str, better: Duel, worse: Duel) -> None:
    """Sentences and observed values differ."""
    good, bad = (check(check_name).outcome(duel) for duel in (better, worse))
    contract.tells_them_apart(good, bad)


def test_non_finite_values_are_not_recorded(better: Duel) -> None:
    """JSON has no NaN or infinity, so that these could not be written to the pointer."""
    observation = Observation(True, "a figure", float("inf"), float("nan"), (float("-inf"), 1.0), 3)

    class NonFinite(Check):
        """A check that observes values that are not finite."""

        code, title, severity = "odd", "is odd", "HOLD"

        def observe(self, duel: Duel) -> Observation:
            """Return the observation."""
            return observation

    outcome = NonFinite().outcome(better)
    assert (outcome.observed, outcome.limit, outcome.interval, outcome.rows) == (None, None, None, 3)


def test_failed_parts_or_the_closest_part_are_reported() -> None:
    """Without failures, the part that is closest to its limit is reported."""
    parts = [Observation(True, f"part {value}", value, 0.5) for value in (0.9, 0.51, 0.7)]
    assert together(parts).text == "part 0.51 (the nearest to its limit of 3)"
    assert together(parts[:1]).text == "part 0.9"
    bad = [Observation(False, f"bad {value}", value, 0.5) for value in (0.4, 0.1)]
    found = together([*parts, *bad])
    assert (found.good, found.text, found.observed) == (False, "bad 0.4; bad 0.1", 0.1)


def test_check_has_code_title_and_severity(check_name: str) -> None:
    """The code equals the file name, and the severity is HOLD or REJECT."""
    instance = check(check_name)
    assert instance.code == check_name
    assert instance.title
    assert instance.severity in {"HOLD", "REJECT"}


def test_champion_check_needs_a_champion(better: Duel) -> None:
    """Without a champion the check does not apply, with a reason."""
    outcome = check("champion").outcome(dataclasses.replace(better, champion=None))
    assert (outcome.state, outcome.text) == ("not applicable", "there is no champion yet")


def test_collapse_check_needs_classes(better: Duel) -> None:
    """Regression is not judged by recall."""
    task = loader.load(Workspace(ROOT), "diabetes")
    outcome = check("collapse").outcome(dataclasses.replace(better, task=task))
    assert (outcome.state, outcome.text) == ("not applicable", "regression has no classes")


def test_collapsed_class_is_named(better: Duel) -> None:
    """A single class that is never predicted fails, however good the others are."""
    predicted = np.where(TRUTH == 2, 1, TRUTH)
    outcome = check("collapse").outcome(dataclasses.replace(better, challenger=np.eye(3)[predicted]))
    assert outcome.text == "recall of virginica 0; expected at least 0.05 of every class"


def test_equal_champion_is_not_beaten(better: Duel) -> None:
    """Equal predictions have a gain of zero, and an interval from 0 to 0 does not exclude zero."""
    outcome = check("champion").outcome(dataclasses.replace(better, champion=better.challenger))
    assert outcome.state == "failed"
    assert "a gain of 0 (95% interval 0 to 0)" in outcome.text


def test_proven_gain_below_the_minimum_fails(better: Duel) -> None:
    """The interval can exclude zero although the gain is below the minimum."""
    gate = better.task.gate.model_copy(update={"minimum_gain": 0.9})
    outcome = check("champion").outcome(dataclasses.replace(better, task=better.task.model_copy(update={"gate": gate})))
    assert better.over_champion is not None
    assert better.over_champion.proven
    assert outcome.text.endswith("expected an interval above zero, with an upper end of at least 0.9")


def test_accuracy_on_rare_positives_does_not_pass() -> None:
    """With 2 sick of 100 patients, 99 % accuracy is one patient more than the majority baseline: no proof."""
    task = loader.load(Workspace(ROOT), "iris")
    gate = task.gate.model_copy(update={"metric": "accuracy"})
    truth, label = np.array([1, 1] + [0] * 98), np.array([1, 0] + [0] * 98)
    outputs, baseline = np.eye(3)[label], np.tile([0.98, 0.02, 0.0], (100, 1))
    duel = Duel(task.model_copy(update={"gate": gate}), truth, outputs, baseline, None, {}, 0.99, 0.1)
    assert duel.over_baseline.new == 0.99
    assert check("baseline").outcome(duel).state == "failed"


def test_gap_is_relative_to_the_baseline() -> None:
    """Errors of 0.01 and 0.5 differ by a factor of fifty, but hardly compared with a baseline of 30."""
    task = loader.load(Workspace(ROOT), "diabetes")
    truth = np.linspace(0, 100, 60)
    duel = Duel(task, truth, truth[:, None] + 0.5, np.full((60, 1), 50.0), None, {}, 0.01, 0.1)
    assert duel.gap == pytest.approx(0.49 / (truth.std() - 0.01), rel=0.02)
    assert check("generalization_gap").outcome(duel).state == "passed"


def test_gap_without_a_gain_does_not_apply(better: Duel) -> None:
    """Without a gain over the baseline there is no share to lose; the baseline check covers this."""
    outcome = check("generalization_gap").outcome(dataclasses.replace(better, train=0.1))
    assert outcome.state == "not applicable"


def test_live_quality_needs_enough_truths(better: Duel) -> None:
    """With too few, the check does not apply; the reason states how many there are and how many are needed."""
    few = dataclasses.replace(better, live=LiveComparison(Gain(0.1, 0.9, -0.8, -0.9, -0.7), 199, same=True))
    for duel, received in ((few, "199"), (dataclasses.replace(better, live=None), "too few")):
        outcome = check("live_quality").outcome(duel)
        assert outcome.state == "not applicable"
        assert outcome.text == f"expected at least 200 ground truths of each version; received {received}"


def test_live_loss_within_chance_passes(better: Duel) -> None:
    """Live truths only stop a challenger that is significantly worse."""
    live = LiveComparison(Gain(0.79, 0.8, -0.01, -0.05, 0.03), 300, same=False)
    assert check("live_quality").outcome(dataclasses.replace(better, live=live)).state == "passed"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"classes": {**SAMPLES["classes"], "samples": [1.0, 0.0]}}, "0.00% of samples are of class b"),
        ({"active_units": {"active": 1, "of": 8}}, "1 of 8 numbers of the code are in use; expected at least 2"),
        ({"active_units": {"active": 0, "of": 1}}, "0 of 1 numbers of the code are in use; expected at least 1"),
        ({"variety": 0.3}, "have 30% of the variance of those of test rows; expected at least 50%"),
    ],
)
def test_each_way_to_collapse_is_found(better: Duel, found: dict[str, Any], words: str) -> None:
    """Samples that lack a class, do not depend on the code, or are all alike fail, each with its numbers."""
    duel = dataclasses.replace(better, samples={**SAMPLES, **found}, truth=np.zeros(1000))
    outcome = check("sample_variety").outcome(duel)
    assert outcome.state == "failed"
    assert words in outcome.text


def test_few_copies_are_within_chance(better: Duel) -> None:
    """One of 60 samples is above the limit of 1 %, but not surely; six are."""
    for copies, state in ((1, "passed"), (6, "failed")):
        samples = {**SAMPLES, "copies": {"share": copies / 60, "limit": 0.3, "rows": 60}}
        assert check("memorization").outcome(dataclasses.replace(better, samples=samples)).state == state


@pytest.mark.parametrize("name", ["memorization", "sample_variety"])
def test_checks_of_samples_need_samples(better: Duel, name: str) -> None:
    """Other models draw none."""
    outcome = check(name).outcome(dataclasses.replace(better, samples={}))
    assert (outcome.state, outcome.text) == ("not applicable", "classification draws no samples")
