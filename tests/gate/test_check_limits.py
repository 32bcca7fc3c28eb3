"""Checks at their limits: what lies exactly on one passes, and the ledger's figures are those of the sentence."""

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
    """What a check is shown of a duel that is just good enough and of one that is not, and the figures of both."""

    check: str
    terms: dict[str, Any]
    good: dict[str, Any]
    bad: dict[str, Any]
    figures: tuple[float, float]
    limit: float


AT_LIMITS = [
    Case("latency", {"latency_ms": 5.0}, {"latency_ms": 5.0}, {"latency_ms": 5.01}, (5.0, 5.01), 5.0),
    Case("test_reuse", {"uses": 3}, {"uses": 3}, {"uses": 4}, (3, 4), 3),
    Case("approval", {"approval": True}, {"approvals": ["ann"]}, {"approvals": []}, (1, 0), 1),
    Case("model_card", {}, {"facts": {"empty": []}}, {"facts": {"empty": ["Metrics"]}}, (0, 1), 0),
    Case("parity", {}, {"facts": {"parity": 1e-4}}, {"facts": {"parity": 1.1e-4}}, (1e-4, 1.1e-4), 1e-4),
    Case("size", {"size_mb": 2.0}, {"facts": {"size_mb": 2.0}}, {"facts": {"size_mb": 2.5}}, (2.0, 2.5), 2.0),
]


@pytest.mark.parametrize("case", AT_LIMITS, ids=lambda case: str(case.check))
def test_what_is_on_a_limit_passes(case: Case) -> None:
    """And what lies beyond it fails; both figures are kept."""
    plain = build_duel(cancer(), linear_model(cancer()), **case.terms)
    seen = [outcome(case.check, dataclasses.replace(plain, **more)) for more in (case.good, case.bad)]
    assert [one.state for one in seen] == ["passed", "failed"]
    assert [(one.observed, one.limit) for one in seen] == [(figure, case.limit) for figure in case.figures]


@pytest.mark.parametrize(
    ("name", "case", "cure"),
    [("parity", AT_LIMITS[4], "train it again"), ("test_reuse", AT_LIMITS[1], "fetch fresh data")],
)
def test_only_what_fails_is_told_a_cure(name: str, case: Case, cure: str) -> None:
    """On the limit nothing has to be done."""
    plain = build_duel(cancer(), linear_model(cancer()), **case.terms)
    good, bad = (outcome(name, dataclasses.replace(plain, **more)).text for more in (case.good, case.bad))
    assert (cure in good, cure in bad) == (False, True)


@pytest.mark.parametrize(
    ("memory", "state", "told"),
    [
        ({"memory_mb": 90.0}, "passed", "memory of 90 MB; expected at most 90 MB (the nearest to its limit of 2)"),
        ({"memory_mb": 91.0}, "failed", "memory of 91 MB; expected at most 90 MB"),
        ({}, "passed", "a model.onnx of 0.1 MB; expected at most 500 MB"),
    ],
)
def test_memory_is_judged_where_it_was_measured(memory: dict[str, float], state: str, told: str) -> None:
    """Beside the size of the file, which is judged anyway."""
    facts = {name: value for name, value in FACTS.items() if name != "memory_mb"} | memory
    found = outcome("size", build_duel(cancer(), linear_model(cancer()), memory_mb=90.0, more={"facts": facts}))
    assert (found.state, found.text) == (state, told)


@pytest.mark.parametrize(
    ("origin", "state", "told", "figures"),
    [
        ({}, "passed", "6 facts of 6 are known, data, test, version, seed, parameters, commit; expected 5", (6, 5)),
        ({"commit": None}, "passed", "5 facts of 6 are known", (5, 5)),
        ({"data": None, "seed": None}, "failed", "4 facts of 6 are known; expected also data, seed", (4, 5)),
    ],
)
def test_facts_that_are_not_known_are_named(
    origin: dict[str, Any], state: str, told: str, figures: tuple[int, int]
) -> None:
    """All but the commit, which only a task that insists on it asks for."""
    facts = {**FACTS, "origin": {**ORIGIN, **origin}}
    found = outcome("provenance", build_duel(cancer(), linear_model(cancer()), more={"facts": facts}))
    assert (found.state, (found.observed, found.limit)) == (state, figures)
    assert found.text.startswith(told)


def test_a_metric_that_is_just_what_was_required_is_enough() -> None:
    """Of an error, too, which must be no larger."""
    data = cancer()
    duel = build_duel(data, linear_model(data))
    told = {name: one.score(duel.truth, duel.challenger, {}) for name, one in duel.task.evaluator.metrics.items()}
    assert outcome("required_metrics", build_duel(data, linear_model(data), require=told)).state == "passed"
    for name, worse in (("accuracy", 1e-6), ("log_loss", -1e-6)):
        asked = build_duel(data, linear_model(data), require={name: told[name] + worse})
        assert outcome("required_metrics", asked).state == "failed"


def outcome(name: str, duel: Duel) -> Outcome:
    """Ask one check."""
    found: Outcome = plugins.load("checks", name)().outcome(duel)
    return found


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
def test_an_answer_may_move_by_just_what_a_rule_allows(never: str, moved: float, state: str) -> None:
    """`within` is allowed in the forbidden direction, and the other direction is free."""
    duel = build_duel(
        diabetes(), linear_model(diabetes()), behaviours=[{"vary": "bmi", "by": 2.0, "never": never, "within": 2.0}]
    )
    answers = np.zeros((len(duel.truth), 1))
    asked = dataclasses.replace(duel, challenger=answers, ask=lambda _: answers + moved)
    assert outcome("behaviour", asked).state == state


@pytest.mark.parametrize(("low", "good"), [(0.4, True), (0.39, False), (0.5, True)])
def test_a_ratio_of_just_four_fifths_is_fair(low: float, good: bool) -> None:
    """The smallest rate counts against the largest, whatever lies between."""
    seen = _compared(Rate("share given benign", {"a": 0.45, "b": low, "c": 0.5}), 0.8)
    assert (seen.good, seen.observed, seen.limit) == (good, min(low, 0.45) / 0.5, 0.8)


@pytest.mark.parametrize(
    ("commit", "dirty", "state", "figures"),
    [("c", False, "passed", (6, 6)), ("c", True, "failed", (0, 1)), (None, False, "failed", (0, 1))],
)
def test_what_is_not_committed_is_no_commit_of_one(
    commit: str | None, dirty: bool, state: str, figures: tuple[int, int]
) -> None:
    """A task that insists on it asks for a commit without changes beside it."""
    facts = {**FACTS, "origin": {**ORIGIN, "commit": commit}, "dirty": dirty}
    found = outcome("provenance", build_duel(cancer(), linear_model(cancer()), more={"facts": facts}, committed=True))
    assert (found.state, (found.observed, found.limit)) == (state, figures)


@pytest.mark.parametrize(
    ("right", "most", "state", "rare"),
    [(20, 0.02, "passed", True), (10, 0.02, "failed", False), (10, 0.5, "passed", False)],
)
def test_an_error_that_passes_as_chance_says_so(right: int, most: float, state: str, rare: bool) -> None:
    """Of 32 rows that are 75 % sure 20 right may be chance, 10 may not; within the task's maximum nobody asks."""
    shares = np.tile([0.25, 0.75], (32, 1))
    more: dict[str, Any] = {
        "challenger": shares,
        "truth": (np.random.default_rng(0).permutation(32) < right).astype(int),
    }
    duel = dataclasses.replace(build_duel(cancer(), linear_model(cancer()), calibration=most), **more)
    found = outcome("calibration", duel)
    assert (found.state, "one in 100 calibrated models" in found.text) == (state, rare)


def test_only_columns_that_drifted_are_named() -> None:
    """With their indices; where none did, the one that came nearest."""
    drift = [{"feature": name, "psi": psi, "drifted": psi > 0.2} for name, psi in (("a", 0.3), ("b", 0.1), ("c", 0.5))]
    far = outcome("drift", build_duel(cancer(), linear_model(cancer()), more={"drift": drift}))
    assert (far.state, far.observed) == ("failed", 0.5)
    assert "population stability index of a 0.3, c 0.5; expected" in far.text
    near = outcome("drift", build_duel(cancer(), linear_model(cancer()), more={"drift": drift[1:2]}))
    assert (near.state, near.observed) == ("passed", 0.1)
    assert "largest population stability index, of b 0.1; expected" in near.text


@pytest.mark.parametrize(("refused", "state"), [(10, "passed"), (11, "failed")])
def test_one_refused_input_in_a_hundred_is_let_pass(refused: int, state: str) -> None:
    """More are held; the figure that the ledger keeps is their share."""
    inputs = {"rows": 1000, "refused": refused, "first": "a row"}
    drift = [{"feature": "a", "psi": 0.0, "drifted": False}]
    found = outcome("drift", build_duel(cancer(), linear_model(cancer()), more={"drift": drift, "inputs": inputs}))
    assert found.state == state
    assert found.observed == (0.0 if state == "passed" else refused / 1000)
