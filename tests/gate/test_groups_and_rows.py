"""Checks on rows, groups and labels, with few rows whose results are counted by hand."""

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
    """Run one check."""
    result: Outcome = plugins.load("checks", name)().outcome(duel)
    return result


def constant_model(outputs: Array) -> Ask:
    """Return a challenger that always returns the same outputs."""
    return lambda _: outputs


def fairness_duel(predicted: list[int], **terms: Any) -> Duel:
    """Return a duel of 40 rows per side, of which the first `predicted` are predicted as benign."""
    predicted_labels = np.concatenate([np.arange(40) < count for count in predicted]).astype(int)
    duel = build_duel(cancer(), linear_model(cancer()), sensitive=["side"], **terms)
    rows = {name: values[:80] for name, values in duel.rows.items()} | {"side": SIDES}
    return dataclasses.replace(duel, truth=BENIGN, challenger=np.eye(2)[predicted_labels], rows=rows)


@pytest.mark.parametrize(
    ("predicted", "terms", "state", "ratio", "text"),
    [
        ([20, 16], {"favourable": "benign"}, "passed", 0.8, "share predicted as benign 0.4 for side small against 0.5"),
        (
            [20, 15],
            {"favourable": "benign"},
            "failed",
            0.75,
            "share predicted as benign 0.375 for side small against 0.5",
        ),
        (
            [15, 20],
            {"favourable": "benign"},
            "failed",
            0.75,
            "share predicted as benign 0.375 for side large against 0.5",
        ),
        ([20, 15], {"favourable": "benign", "fairness": 0.75}, "passed", 0.75, "expected at least 0.75"),
        (
            [30, 20],
            {"favourable": "malignant"},
            "failed",
            0.5,
            "share predicted as malignant 0.25 for side large against 0.5",
        ),
        ([20, 15], {}, "failed", 0.75, "share predicted as benign 0.375 for side small"),
        ([30, 20], {}, "failed", 0.5, "recall of malignant 0.5 for side large against 1 for side small"),
        ([0, 0], {"favourable": "benign"}, "passed", 1.0, "a ratio of 1.00"),
    ],
)
def test_groups_get_labels_at_similar_rates(
    predicted: list[int], terms: dict[str, Any], state: str, ratio: float, text: str
) -> None:
    """Four fifths of the other side's rate are enough, for predicted labels and for correctly predicted ones."""
    result = outcome("fairness", fairness_duel(predicted, **terms))
    assert result.state == state
    assert result.observed == pytest.approx(ratio)
    assert text in result.text


def test_recall_of_small_groups_is_not_compared() -> None:
    """With only 19 benign rows on one side, selection rates are compared but recall is not."""
    duel = fairness_duel([20, 20], favourable="benign")
    few = duel.truth.copy()
    few[59] = 0
    assert outcome("fairness", duel).text.endswith("(the nearest to its limit of 2)")
    assert "nearest" not in outcome("fairness", dataclasses.replace(duel, truth=few)).text


def test_errors_of_groups_are_compared() -> None:
    """Groups are compared by mean absolute error, regardless of sign."""
    duel = build_duel(diabetes(), linear_model(diabetes()), sensitive=["sex"])
    errors = np.where(duel.rows["sex"] == "one", -4.0, 2.0) * np.where(np.arange(len(duel.truth)) % 2, 1, -1)
    result = outcome("fairness", dataclasses.replace(duel, challenger=(duel.truth + errors)[:, None]))
    assert result.state == "failed"
    assert result.observed == pytest.approx(0.5)
    assert result.text.startswith("mean absolute error 2 for sex two against 4 for sex one: a ratio of 0.50; expected")


@pytest.mark.parametrize(
    ("minimum", "state", "text"),
    [
        (0.8, "passed", "lowest recall 0.8, of malignant; expected at least 0.8 of every class"),
        (0.85, "failed", "recall of malignant 0.8; expected at least 0.85 of every class"),
        (0.95, "failed", "recall of malignant 0.8, benign 0.9; expected at least 0.95 of every class"),
    ],
)
def test_class_with_minimum_recall_has_not_collapsed(minimum: float, state: str, text: str) -> None:
    """Every collapsed class is named with its recall."""
    predicted_labels = np.where(np.isin(np.arange(20), [0, 1, 10]), 1, 0) ^ np.repeat([0, 1], 10)
    plain = build_duel(cancer(), linear_model(cancer()), min_recall=minimum)
    duel = dataclasses.replace(plain, truth=np.repeat([0, 1], 10), challenger=np.eye(2)[predicted_labels])
    result = outcome("collapse", duel)
    assert (result.state, result.text, result.observed, result.limit, result.rows) == (state, text, 0.8, minimum, 20)


@pytest.mark.parametrize(
    ("shares", "truth", "maximum", "state", "mentions_chance"),
    [
        ([0.25, 0.75], 0, 0.02, "passed", True),
        ([0.0, 1.0], 1, 0.02, "passed", False),
        ([0.0, 1.0], 0, 0.02, "failed", False),
    ],
)
def test_one_wrong_row_can_be_chance(
    shares: list[float], truth: int, maximum: float, state: str, mentions_chance: bool
) -> None:
    """A prediction of 75 % is wrong in one of four rows; a prediction of 100 % is never wrong by chance."""
    plain = build_duel(cancer(), linear_model(cancer()), calibration=maximum)
    result = outcome("calibration", dataclasses.replace(plain, truth=np.array([truth]), challenger=np.array([shares])))
    assert (result.state, "one in 100 calibrated models" in result.text) == (state, mentions_chance)


@pytest.mark.parametrize(("maximum", "state"), [(0.5, "passed"), (0.49, "failed")])
def test_calibration_error_equal_to_the_maximum_passes(maximum: float, state: str) -> None:
    """Two predictions of 100 %, one of them wrong, have an error of a half, none of it by chance."""
    plain = build_duel(cancer(), linear_model(cancer()), calibration=maximum)
    result = outcome("calibration", dataclasses.replace(plain, truth=np.array([1, 0]), challenger=np.eye(2)[[1, 1]]))
    assert (result.state, result.observed, result.limit) == (state, 0.5, maximum)
    assert "one in 100 calibrated models" not in result.text


def test_gap_equal_to_the_maximum_passes() -> None:
    """The recorded value is the share that is lost."""
    terms: dict[str, Any] = {"more": {"train": 0.01}}
    gap = build_duel(cancer(), linear_model(cancer()), **terms).gap
    assert gap is not None
    for maximum, state in ((gap, "passed"), (gap * (1 - 1e-9), "failed")):
        result = outcome("generalization_gap", build_duel(cancer(), linear_model(cancer()), max_gap=maximum, **terms))
        assert (result.state, result.observed, result.limit) == (state, gap, maximum)


def losing(share: float, **terms: Any) -> Duel:
    """Return a duel in which noise takes the challenger this share of the way to the baseline, in every row."""
    duel = build_duel(cancer(), linear_model(cancer()), metric="brier", **terms)
    noisy = duel.challenger + share * (duel.baseline - duel.challenger)
    return dataclasses.replace(duel, ask=lambda rows: noisy[robustness._spread(len(noisy), len(rows["side"]))])


def noise_loss(duel: Duel) -> Outcome:
    """Return the outcome of the robustness check, of which noise is reported first."""
    return outcome("robustness", duel)


def test_loss_by_noise_is_a_share_of_the_gain_over_the_baseline() -> None:
    """It fails if its whole interval is above the maximum; a maximum within the interval passes."""
    found = noise_loss(losing(0.9, noise_loss=0.5))
    assert (found.state, found.limit) == ("failed", 0.5)
    assert found.observed is not None
    assert found.interval is not None
    low, high = found.interval
    assert 0.5 < low < found.observed < high
    for maximum, state in (((low + high) / 2, "passed"), (high, "passed"), (0.9 * low, "failed")):
        assert noise_loss(losing(0.9, noise_loss=maximum)).state == state
    assert "noise of 0.1 deviations" in found.text


def test_more_rows_are_disturbed_until_the_loss_is_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of twenty rows at first, more are taken where the limit lies within the interval, and no more elsewhere."""
    monkeypatch.setattr(robustness, "ROWS", 20)
    monkeypatch.setattr(robustness, "MOST_ROWS", 40)
    close = noise_loss(losing(0.9)).observed
    assert close is not None
    assert noise_loss(losing(0.9, noise_loss=close)).rows == 40
    assert noise_loss(losing(0.0, noise_loss=5.0)).rows == 20


def test_rows_are_spread_over_all() -> None:
    """The last rows of a series are disturbed, too."""
    assert robustness._spread(1000, 4).tolist() == [0, 333, 666, 999]
    assert robustness._spread(3, 3).tolist() == [0, 1, 2]


def test_disturbed_model_is_compared_with_the_disturbed_baseline() -> None:
    """A naive forecast suffers by noise like any other; if all is lost for both, the model is not held."""
    duel = losing(1.0, noise_loss=0.5)
    assert noise_loss(duel).state == "failed"
    much_worse = np.full_like(duel.baseline, 0.5)
    much_worse[np.arange(len(duel.truth)), duel.truth] = 0.01
    much_worse /= much_worse.sum(axis=1, keepdims=True)
    as_bad = dataclasses.replace(
        duel, ask_baseline=lambda rows: much_worse[robustness._spread(len(much_worse), len(rows["side"]))]
    )
    assert noise_loss(as_bad).state == "passed"


@pytest.mark.parametrize(("share", "state"), [(0.95, "failed"), (1.0, "passed")])
def test_less_robust_than_the_champion_is_held(share: float, state: str) -> None:
    """A champion that loses as much by noise is no reason for a HOLD; a more robust one is."""
    duel, champion = losing(1.0, noise_loss=0.5), losing(share)
    assert noise_loss(dataclasses.replace(duel, ask_champion=champion.ask)).state == state


def test_worst_perturbation_may_cost_the_whole_gain() -> None:
    """Falling back to the baseline is a loss of 1, which is just allowed; a surely worse result fails."""
    plain = build_duel(cancer(), linear_model(cancer()), noise_loss=5.0)
    for noisy, state in ((plain.baseline, "passed"), (np.tile([0.9, 0.1], (len(plain.truth), 1)), "failed")):
        result = outcome("robustness", dataclasses.replace(plain, ask=constant_model(noisy)))
        assert (result.state, result.limit) == (state, 1.0)
        assert "the worst of 8 steps of 0.1 deviations" in result.text


def rule(**settings: Any) -> dict[str, Any]:
    """Return gate settings with one behaviour rule."""
    return {"behaviours": [settings]}


@pytest.mark.parametrize(("share", "state"), [(0.75, "passed"), (0.76, "failed")])
def test_behaviour_rule_may_be_broken_by_the_allowed_share(share: float, state: str) -> None:
    """Only rows that can be changed count: here every fourth prediction falls, which the rule forbids."""
    duel = build_duel(diabetes(), linear_model(diabetes()), **rule(vary="bmi", by=1.0, never="lower", share=share))
    few = {name: values[:100] for name, values in duel.rows.items()}
    changes = np.where(np.arange(100) % 4 == 0, -1.0, 0.0)[:, None]
    changed = dataclasses.replace(
        duel, truth=duel.truth[:100], challenger=np.zeros((100, 1)), rows=few, ask=lambda _: changes
    )
    result = outcome("behaviour", changed)
    assert (result.state, result.observed, result.limit, result.rows) == (state, 0.75, share, 100)


def test_rows_changed_beyond_bounds_are_skipped() -> None:
    """A value on the bound after the change is included; a rule that applies to no row fails with a message."""
    duel = build_duel(diabetes(), linear_model(diabetes()), **rule(vary="bmi", by=1.0, never="lower"))
    values = np.repeat([0.5, 1.0, 9.0, 9.5], [5, 10, 20, 25])
    column = duel.task.columns["bmi"].model_copy(update={"bounds": (2.0, 10.0)})
    task = duel.task.model_copy(update={"columns": {**duel.task.columns, "bmi": column}})
    requested = []

    def ask(rows: Any) -> Any:
        requested.append(rows["bmi"])
        return np.where(rows["bmi"] == values, -9.0, 1.0)[:, None]

    few = {name: some[:60] for name, some in duel.rows.items()} | {"bmi": values}
    changed = dataclasses.replace(
        duel, task=task, truth=duel.truth[:60], challenger=np.zeros((60, 1)), rows=few, ask=ask
    )
    result = outcome("behaviour", changed)
    assert (result.state, result.observed, result.rows) == ("passed", 1.0, 30)
    assert np.unique(requested[0]).tolist() == [0.5, 2.0, 9.5, 10.0]
    none = dataclasses.replace(changed, rows={**few, "bmi": np.full(60, 9.5)})
    result = outcome("behaviour", none)
    assert (result.state, result.observed, result.limit, result.rows) == ("failed", 0.0, 0.95, 0)
    assert (
        result.text
        == "bmi +1: never a lower answer: no row can be changed this way within the bounds; expected at least 1"
    )


def test_another_category_must_not_change_the_label() -> None:
    """Rows that already have the category are skipped; for the others the most probable label is compared."""
    duel = build_duel(cancer(), linear_model(cancer()), **rule(vary="side", to="large", never="another"))
    small = duel.rows["side"] == "small"
    requested = []

    def ask(rows: Any) -> Any:
        requested.append(rows["side"])
        return np.eye(2)[np.where(small & (np.arange(len(small)) % 2 == 0), 1, 0)]

    result = outcome("behaviour", dataclasses.replace(duel, challenger=np.eye(2)[np.zeros(len(small), int)], ask=ask))
    assert np.unique(requested[0]).tolist() == ["large"]
    assert result.rows == small.sum()
    assert result.observed == pytest.approx(1 - (np.flatnonzero(small) % 2 == 0).mean())


def test_label_rule_compares_its_probability() -> None:
    """The probability of the named label is compared, even if another label is the most probable."""
    duel = build_duel(
        cancer(), linear_model(cancer()), **rule(vary="worst_area", by=1.0, never="higher", label="malignant")
    )
    rows = len(duel.truth)
    before, after = (np.tile([share, 1 - share], (rows, 1)) for share in (0.3, 0.4))
    for challenger, answers, state in ((before, after, "failed"), (after, before, "passed")):
        changed = dataclasses.replace(duel, challenger=challenger, ask=constant_model(answers))
        assert outcome("behaviour", changed).state == state


def ranked(threshold: float | None, metric: str) -> Duel:
    """Return a ranking of a class with one row in twenty, whose probability is never the larger one."""
    duel = build_duel(cancer(), linear_model(cancer()), metric=metric)
    truth = (np.arange(len(duel.truth)) % 20 == 0).astype(int)
    second = np.where(truth == 1, 0.2, 0.02)
    return dataclasses.replace(
        duel,
        truth=truth,
        challenger=np.stack([1 - second, second], axis=1),
        baseline=np.tile([0.95, 0.05], (len(truth), 1)),
        threshold=threshold,
    )


@pytest.mark.parametrize(
    ("threshold", "metric", "state", "text"),
    [
        (None, "roc_auc", "passed", "above the frequencies of the training rows"),
        (None, "average_precision", "passed", "above the frequencies of the training rows"),
        (None, "log_loss", "failed", "recall of benign 0; expected"),
        (0.1, "log_loss", "passed", "at 0.1; expected"),
        (0.3, "roc_auc", "failed", "recall of benign 0 at 0.3; expected"),
    ],
)
def test_collapse_asks_at_the_decision_threshold(threshold: float | None, metric: str, state: str, text: str) -> None:
    """A rare class need not have the larger probability in any row."""
    result = outcome("collapse", ranked(threshold, metric))
    assert result.state == state
    assert text in result.text


def test_constant_ranking_has_collapsed() -> None:
    """A model that gives every row the frequencies ranks nothing."""
    duel = ranked(None, "roc_auc")
    assert outcome("collapse", dataclasses.replace(duel, challenger=duel.baseline)).state == "failed"


def test_models_are_compared_by_their_own_thresholds() -> None:
    """Labels of the champion are those that it serves."""
    duel = dataclasses.replace(ranked(0.1, "accuracy"), champion=ranked(0.1, "accuracy").challenger)
    same = dataclasses.replace(duel, champion_threshold=0.1)
    assert duel.over_champion is not None
    assert same.over_champion is not None
    assert (same.over_champion.value, round(duel.over_champion.value, 3)) == (0, 0.053)
    assert outcome("mcnemar", duel).text.startswith("only the challenger is right on 10 rows, only the champion on 0")
    assert outcome("mcnemar", same).text.startswith("only the challenger is right on 0 rows, only the champion on 0")
