"""Checks at their limits: a value exactly on the limit passes, and the recorded numbers match the sentence."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from duels import FACTS, ORIGIN, build_duel, cancer, diabetes, linear_model

from tiltyard import plugins
from tiltyard.gate.checks.base import Outcome
from tiltyard.gate.checks.fairness import Rate, _compared
from tiltyard.gate.duel import Duel


@dataclasses.dataclass(frozen=True)
class Case:
    """A check, with changes for a duel that just passes and one that just fails, and the values that both observe."""

    check: str
    terms: dict[str, Any]
    good: dict[str, Any]
    bad: dict[str, Any]
    values: tuple[float, float]
    limit: float


LIMIT_CASES = [
    Case("latency", {"latency_ms": 5.0}, {"latency_ms": 5.0}, {"latency_ms": 5.01}, (5.0, 5.01), 5.0),
    Case("test_reuse", {"uses": 3}, {"uses": 3}, {"uses": 4}, (3, 4), 3),
    Case("approval", {"approval": True}, {"approvals": ["ann"]}, {"approvals": []}, (1, 0), 1),
    Case("model_card", {}, {"facts": {"empty": []}}, {"facts": {"empty": ["Metrics"]}}, (0, 1), 0),
    Case("parity", {}, {"facts": {"parity": 1e-4}}, {"facts": {"parity": 1.1e-4}}, (1e-4, 1.1e-4), 1e-4),
    Case("size", {"size_mb": 2.0}, {"facts": {"size_mb": 2.0}}, {"facts": {"size_mb": 2.5}}, (2.0, 2.5), 2.0),
]


@pytest.mark.parametrize("case", LIMIT_CASES, ids=lambda case: str(case.check))
def test_value_on_the_limit_passes(case: Case) -> None:
    """A value beyond the limit fails; both values are recorded."""
    plain = build_duel(cancer(), linear_model(cancer()), **case.terms)
    outcomes = [outcome(case.check, dataclasses.replace(plain, **more)) for more in (case.good, case.bad)]
    assert [one.state for one in outcomes] == ["passed", "failed"]
    assert [(one.observed, one.limit) for one in outcomes] == [(value, case.limit) for value in case.values]


@pytest.mark.parametrize(
    ("name", "case", "fix"),
    [("parity", LIMIT_CASES[4], "train it again"), ("test_reuse", LIMIT_CASES[1], "fetch fresh data")],
)
def test_only_failures_suggest_a_fix(name: str, case: Case, fix: str) -> None:
    """A value on the limit needs no fix."""
    plain = build_duel(cancer(), linear_model(cancer()), **case.terms)
    good, bad = (outcome(name, dataclasses.replace(plain, **more)).text for more in (case.good, case.bad))
    assert (fix in good, fix in bad) == (False, True)


@pytest.mark.parametrize(
    ("memory", "state", "text"),
    [
        ({"memory_mb": 90.0}, "passed", "memory of 90 MB; expected at most 90 MB (the nearest to its limit of 2)"),
        ({"memory_mb": 91.0}, "failed", "memory of 91 MB; expected at most 90 MB"),
        ({}, "passed", "a model.onnx of 0.1 MB; expected at most 500 MB"),
    ],
)
def test_memory_is_checked_only_if_measured(memory: dict[str, float], state: str, text: str) -> None:
    """Memory is checked in addition to the file size, which is always checked."""
    facts = {name: value for name, value in FACTS.items() if name != "memory_mb"} | memory
    result = outcome("size", build_duel(cancer(), linear_model(cancer()), memory_mb=90.0, more={"facts": facts}))
    assert (result.state, result.text) == (state, text)


@pytest.mark.parametrize(
    ("origin", "state", "text", "values"),
    [
        ({}, "passed", "6 facts of 6 are known, data, test, version, seed, parameters, commit; expected 5", (6, 5)),
        ({"commit": None}, "passed", "5 facts of 6 are known", (5, 5)),
        ({"data": None, "seed": None}, "failed", "4 facts of 6 are known; expected also data, seed", (4, 5)),
    ],
)
def test_missing_provenance_facts_are_named(
    origin: dict[str, Any], state: str, text: str, values: tuple[int, int]
) -> None:
    """All facts are required except the commit, which only some tasks require."""
    facts = {**FACTS, "origin": {**ORIGIN, **origin}}
    result = outcome("provenance", build_duel(cancer(), linear_model(cancer()), more={"facts": facts}))
    assert (result.state, (result.observed, result.limit)) == (state, values)
    assert result.text.startswith(text)


def test_metric_equal_to_the_requirement_passes() -> None:
    """For an error, the requirement is a maximum."""
    data = cancer()
    duel = build_duel(data, linear_model(data))
    scores = {
        name: metric.score(duel.truth, duel.challenger, {}) for name, metric in duel.task.evaluator.metrics.items()
    }
    assert outcome("required_metrics", build_duel(data, linear_model(data), require=scores)).state == "passed"
    for name, worse in (("accuracy", 1e-6), ("log_loss", -1e-6)):
        stricter = build_duel(data, linear_model(data), require={name: scores[name] + worse})
        assert outcome("required_metrics", stricter).state == "failed"


def outcome(name: str, duel: Duel) -> Outcome:
    """Run one check."""
    result: Outcome = plugins.load("checks", name)().outcome(duel)
    return result


@pytest.mark.parametrize(
    ("never", "moved", "state"),
    [
        ("lower", -2.0, "passed"),
        ("lower", -2.5, "failed"),
        ("lower", 9.0, "passed"),
        ("higher", 2.0, "passed"),
        ("higher", 2.5, "failed"),
        ("higher", -9.0, "passed"),
        ("another", 2.0, "passed"),
        ("another", -2.0, "passed"),
        ("another", 2.5, "failed"),
        ("another", -2.5, "failed"),
    ],
)
def test_prediction_may_move_by_the_tolerance_of_a_rule(never: str, moved: float, state: str) -> None:
    """`within` is the tolerance in the forbidden direction; the other direction is unlimited."""
    duel = build_duel(
        diabetes(), linear_model(diabetes()), behaviours=[{"vary": "bmi", "by": 2.0, "never": never, "within": 2.0}]
    )
    outputs = np.zeros((len(duel.truth), 1))
    shifted = dataclasses.replace(duel, challenger=outputs, ask=lambda _: outputs + moved)
    assert outcome("behaviour", shifted).state == state


@pytest.mark.parametrize(("low", "passes"), [(0.4, True), (0.39, False), (0.5, True)])
def test_ratio_of_four_fifths_is_fair(low: float, passes: bool) -> None:
    """The smallest rate is compared with the largest; the rates between do not matter."""
    observation = _compared(Rate("share predicted as benign", {"a": 0.45, "b": low, "c": 0.5}), 0.8)
    assert (observation.good, observation.observed, observation.limit) == (passes, min(low, 0.45) / 0.5, 0.8)


@pytest.mark.parametrize(
    ("commit", "dirty", "state", "values"),
    [("c", False, "passed", (6, 6)), ("c", True, "failed", (0, 1)), (None, False, "failed", (0, 1))],
)
def test_committed_requires_a_clean_commit(
    commit: str | None, dirty: bool, state: str, values: tuple[int, int]
) -> None:
    """`gate.committed` requires a commit without uncommitted changes."""
    facts = {**FACTS, "origin": {**ORIGIN, "commit": commit}, "dirty": dirty}
    result = outcome("provenance", build_duel(cancer(), linear_model(cancer()), more={"facts": facts}, committed=True))
    assert (result.state, (result.observed, result.limit)) == (state, values)


@pytest.mark.parametrize(
    ("right", "maximum", "state", "mentions_chance"),
    [(20, 0.02, "passed", True), (10, 0.02, "failed", False), (10, 0.5, "passed", False)],
)
def test_calibration_error_explained_by_chance_passes(
    right: int, maximum: float, state: str, mentions_chance: bool
) -> None:
    """Of 32 rows predicted at 75 %, 20 correct can be chance, 10 cannot; below the maximum this is not mentioned."""
    shares = np.tile([0.25, 0.75], (32, 1))
    more: dict[str, Any] = {
        "challenger": shares,
        "truth": (np.random.default_rng(0).permutation(32) < right).astype(int),
    }
    duel = dataclasses.replace(build_duel(cancer(), linear_model(cancer()), calibration=maximum), **more)
    result = outcome("calibration", duel)
    assert (result.state, "one in 100 calibrated models" in result.text) == (state, mentions_chance)


def test_only_drifted_columns_are_named() -> None:
    """The sentence states their indices; if none drifted, it names the column closest to the limit."""
    drift = [{"feature": name, "psi": psi, "drifted": psi > 0.2} for name, psi in (("a", 0.3), ("b", 0.1), ("c", 0.5))]
    far = outcome("drift", build_duel(cancer(), linear_model(cancer()), more={"drift": drift}))
    assert (far.state, far.observed) == ("failed", 0.5)
    assert "population stability index of a 0.3, c 0.5; expected" in far.text
    near = outcome("drift", build_duel(cancer(), linear_model(cancer()), more={"drift": drift[1:2]}))
    assert (near.state, near.observed) == ("passed", 0.1)
    assert "largest population stability index, of b 0.1; expected" in near.text


@pytest.mark.parametrize(("refused", "state"), [(10, "passed"), (11, "failed")])
def test_one_percent_of_rejected_inputs_passes(refused: int, state: str) -> None:
    """A larger share is held; the ledger records the share."""
    inputs = {"rows": 1000, "refused": refused, "first": "a row"}
    drift = [{"feature": "a", "psi": 0.0, "drifted": False}]
    result = outcome("drift", build_duel(cancer(), linear_model(cancer()), more={"drift": drift, "inputs": inputs}))
    assert result.state == state
    assert result.observed == (0.0 if state == "passed" else refused / 1000)
