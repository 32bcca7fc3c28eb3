"""Contract of checks: passed or failed, a sentence and recorded values state the result and the limit."""

from __future__ import annotations

import dataclasses
import json
import re

from tiltyard.gate.checks.base import Check, Outcome
from tiltyard.gate.duel import Duel


def passes(check: Check, duel: Duel) -> Outcome:
    """A clearly better challenger passes; sentence, value, limit and rows are recorded."""
    return _recorded(check, duel, "passed")


def fails(check: Check, duel: Duel) -> Outcome:
    """A clearly worse challenger fails with the same records."""
    return _recorded(check, duel, "failed")


def tells_them_apart(good: Outcome, bad: Outcome) -> None:
    """Sentences and observed values differ."""
    assert good.text != bad.text
    assert good.observed != bad.observed


def _recorded(check: Check, duel: Duel, state: str) -> Outcome:
    outcome = check.outcome(duel)
    assert outcome.state == state, f"expected {state}; received {outcome.state}: {outcome.text}"
    assert "expected" in outcome.text
    assert len(re.findall(r"\d+\.?\d*", outcome.text)) >= 2, "expected the observed value and the limit in the sentence"
    assert isinstance(outcome.observed, float)
    assert isinstance(outcome.limit, float)
    assert outcome.rows
    if outcome.interval is not None:
        assert outcome.interval[0] <= outcome.observed <= outcome.interval[1]
    text = json.dumps(dataclasses.asdict(outcome), allow_nan=False)
    assert Outcome(**json.loads(text)) == outcome
    return outcome
