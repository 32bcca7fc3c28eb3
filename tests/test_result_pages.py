"""Tables of results: stale verdicts show as stale, stand-ins have no row, and the best simple rival has a column."""

from __future__ import annotations

import deep
import page
import pytest
from workspaces import ROOT

from tiltyard.registry.decision import code_digest

TODAY = code_digest()[:12]


def test_verdicts_of_other_code_are_stale() -> None:
    """A verdict counts as today's only if today's code of the gate gave it."""
    new, old = {"verdict": "PROMOTE", "judged_by": TODAY}, {"verdict": "PROMOTE", "judged_by": "0" * 12}
    assert page.verdicts([new, new]) == "PROMOTE 2"
    assert page.verdicts([new, old, {"verdict": "HOLD"}]) == "PROMOTE 1, stale: PROMOTE 1, HOLD 1"


def test_best_rival_is_named_and_compared() -> None:
    """The column has the mean of the rival, its name, and in how many runs it is surely better."""
    worse = {"reference": {"model": "a linear model", "old": 0.62, "high": -0.01}}
    equal = {"reference": {"model": "a linear model", "old": 0.60, "high": 0.02}}
    assert page.best_rival([worse, equal]) == "0.6100 (a linear model, surely better in 1 of 2)"
    assert page.best_rival([equal]) == "0.6000 (a linear model)"
    assert page.best_rival([{"reference": None}]) == "none applies"
    assert page.best_rival([{}]) == "not measured"


def test_stand_ins_have_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run on generated data is kept, but has no row among the figures."""
    written: list[str] = []
    monkeypatch.setattr(page, "write", lambda _, text: written.append(text))
    run = {
        "seed": 0,
        "metric": "accuracy",
        "value": 1.0,
        "interval": [1.0, 1.0],
        "baseline": 0.1,
        "epochs": 1,
        "seconds": 1.0,
        "parameters": 9,
        "verdict": "HOLD",
        "reasons": ["r"],
        "device": "d",
        "data": "0" * 64,
        "notes": [],
        "task": "t",
    }
    deep._write({"fashion_mnist": [{**run, "stand_in": "made-up pictures"}], "lenet5": [run]})
    assert "| `lenet5` |" in written[0]
    assert "| `fashion_mnist` |" not in written[0]
    assert "No figure for `fashion_mnist`: there is only a stand-in" in written[0]


def test_further_evaluations_of_forecasts_are_remarks() -> None:
    """Walk-forward evaluations and the last step of roll-outs are means over runs; significant steps are counted."""
    gain = {"low": 1.0}
    walks = [
        {"metrics": {"rmse": value}, "trainings": 21, "over_baseline": better}
        for value, better in ((20.0, gain), (22.0, None))
    ]
    steps = [
        {"rmse": 1.0, "baseline": 1.0, "gain_low": -1.0, "gain_high": 1.0},
        {"rmse": 5.0, "baseline": 3.0, "gain_low": -3.0, "gain_high": -1.0},
    ]
    runs = [{"metric": "rmse", "walk_forward": walk} for walk in walks]
    assert deep._further(runs) == [
        "walk-forward 21 ± 1.414 (21 trainings each), surely better than the baseline in 1 of 2 runs"
    ]
    text = "rolled out 2 steps: rmse 5 at the last, the naive forecast 3"
    assert deep._further([{"metric": "rmse", "rollout": {"by_step": steps}}]) == [
        f"{text}; of 2 steps of all runs 0 are surely better and 1 surely worse"
    ]
    assert deep._further([{"metric": "rmse"}]) == []


def test_published_results_of_the_page_are_no_stand_ins() -> None:
    """No row of the page is about generated bars or made-up pictures."""
    text = (ROOT / "docs" / "RESULTS.md").read_text(encoding="utf-8")
    for name in ("fashion_mnist", "crypto_direction"):
        assert f"| `{name}` |" not in text
