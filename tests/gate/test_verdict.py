"""Verdicts: how outcomes are combined, shown, and read back from the ledger."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from duels import cancer, duel_task

from tiltyard.gate.checks.base import Outcome
from tiltyard.gate.verdict import Verdict, decide
from tiltyard.registry.decision import Decision

HOLD_OUTCOME = Outcome(
    "drift", "was trained on data like recent inputs", "failed", "far", "HOLD", False, 0.5, 0.2, [0.1, 0.9], 300
)
REJECT_OUTCOME = dataclasses.replace(HOLD_OUTCOME, code="parity", severity="REJECT", repeatable=True)
REPORT: dict[str, Any] = {
    "metric": "accuracy",
    "metrics": {"accuracy": 0.9},
    "baseline": {"accuracy": 0.5},
    "data": "d",
    "test": "t",
    "version": "not kept",
}


def states(*pairs: tuple[Outcome, Any]) -> list[Outcome]:
    """Return outcomes with other states."""
    return [dataclasses.replace(outcome, state=state) for outcome, state in pairs]


@pytest.mark.parametrize(
    ("outcomes", "word"),
    [
        ([], "PROMOTE"),
        (states((HOLD_OUTCOME, "passed"), (REJECT_OUTCOME, "passed")), "PROMOTE"),
        (states((HOLD_OUTCOME, "not applicable"), (REJECT_OUTCOME, "not applicable")), "PROMOTE"),
        (states((HOLD_OUTCOME, "failed"), (REJECT_OUTCOME, "passed")), "HOLD"),
        (states((HOLD_OUTCOME, "failed"), (REJECT_OUTCOME, "not applicable")), "HOLD"),
        (states((HOLD_OUTCOME, "passed"), (REJECT_OUTCOME, "failed")), "REJECT"),
        (states((HOLD_OUTCOME, "failed"), (REJECT_OUTCOME, "failed")), "REJECT"),
    ],
)
def test_most_severe_failure_decides(outcomes: list[Outcome], word: str) -> None:
    """Only failures count, not what passed or did not apply."""
    assert decide(outcomes) == decide(outcomes[::-1]) == word


@pytest.mark.parametrize(("champion", "word"), [("v1", "unchanged"), ("v2", "HOLD"), (None, "HOLD")])
def test_champion_as_challenger_is_unchanged(champion: str | None, word: str) -> None:
    """For another version the verdict is shown as it is."""
    assert Verdict("iris", "HOLD", "v1", champion, ["so"]).shown_verdict == word


def test_verdict_is_read_back_from_the_ledger() -> None:
    """It has every outcome and is marked as recorded; unknown keys of later releases are ignored."""
    verdict = Verdict("duel", "REJECT", "v2", "v1", ["far"], [HOLD_OUTCOME, REJECT_OUTCOME], {"gap": 0.1}, "f")
    origin = {"commit": "c", "dirty": False, "who": "ann"}
    decision = verdict.decision(duel_task(cancer()).model_dump(mode="json"), REPORT, origin)
    assert (decision.metrics, decision.baseline, decision.data, decision.test) == (
        {"accuracy": 0.9},
        {"accuracy": 0.5},
        "d",
        "t",
    )
    assert (decision.version, decision.who, decision.seed, decision.parameters["name"]) == ("v2", "ann", 0, "duel")
    line = decision.model_dump(mode="json")
    line["checks"] = [{**check, "later": 1} for check in line["checks"]]
    assert not verdict.recorded
    assert Verdict.earlier(Decision.model_validate(line)) == dataclasses.replace(verdict, recorded=True)
