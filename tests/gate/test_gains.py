"""Checks that compare with another model: the limits of their confidence intervals, and their sentences."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from duels import build_duel, cancer, linear_model

from tiltyard import plugins
from tiltyard.evaluation.reference import Reference
from tiltyard.gate.checks.base import Observation, Outcome, together
from tiltyard.gate.duel import Duel
from tiltyard.modeling.metrics.bootstrap import Gain
from tiltyard.monitoring.live_comparison import LiveComparison


def outcome(name: str, duel: Duel) -> Outcome:
    """Run one check."""
    result: Outcome = plugins.load("checks", name)().outcome(duel)
    return result


def gain(value: float, low: float, high: float) -> Gain:
    """Return a gain over a model whose score is 0."""
    return Gain(value, 0.0, value, low, high)


@pytest.mark.parametrize(
    ("measured", "minimum", "state", "suggests_more_rows"),
    [
        (gain(0.1, 0.05, 0.15), 0.0, "passed", False),
        (gain(0.1, 0.05, 0.15), 0.15, "passed", False),
        (gain(0.1, 0.05, 0.15), 0.16, "failed", False),
        (gain(0.1, 0.0, 0.2), 0.0, "failed", True),
        (gain(0.1, 0.0, 0.2), 0.14, "failed", True),
        (gain(0.1, 0.0, 0.2), 0.15, "failed", False),
        (gain(0.1, 0.0, 0.2), gain(0.1, 0.0, 0.2).detectable_gain(0.95), "failed", False),
        (gain(0.0, -0.1, 0.1), 0.0, "failed", False),
        (gain(-0.1, -0.2, 0.1), 0.0, "failed", False),
    ],
)
def test_champion_is_beaten_by_an_interval_above_zero(
    measured: Gain, minimum: float, state: str, suggests_more_rows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gain must also reach the minimum; the detectable gain is stated if the interval is too wide."""
    duel = build_duel(cancer(), linear_model(cancer()), minimum_gain=minimum)
    monkeypatch.setattr(Duel, "over_champion", measured)
    result = outcome("champion", duel)
    assert (result.state, result.observed, result.limit, result.interval) == (
        state,
        measured.value,
        minimum,
        [measured.low, measured.high],
    )
    assert (
        f"; {len(duel.truth)} sealed rows detect a gain of 0.149 or more with a power of 80 %" in result.text
    ) is suggests_more_rows
    assert ("with a power of 80 %" in result.text) is suggests_more_rows


@pytest.mark.parametrize(("high", "state"), [(0.0, "passed"), (-1e-9, "failed")])
def test_negative_gain_with_an_interval_up_to_zero_passes(
    high: float, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checks `reference` and `live_quality` treat such a loss as chance."""
    measured = gain(-0.1, -0.2, high)
    monkeypatch.setattr(Duel, "over_reference", measured)
    duel = build_duel(cancer(), linear_model(cancer()), more={"live": LiveComparison(measured, 200, same=True)})
    for name in ("reference", "live_quality"):
        result = outcome(name, duel)
        assert (result.state, result.observed, result.limit, result.interval) == (state, -0.1, 0, [-0.2, high])
    assert result.rows == 200


@pytest.mark.parametrize(
    ("measured", "loss", "state"),
    [
        (gain(-0.1, -0.2, 0.0), 0.0, "passed"),
        (gain(-0.1, -0.2, -0.01), 0.1, "passed"),
        (gain(-0.1, -0.2, -0.01), 0.09, "failed"),
    ],
)
def test_slice_may_lose_by_chance_or_within_the_allowed_loss(
    measured: Gain, loss: float, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each slice is compared once, as one of all slices; recorded values and rows are those of the named slice."""
    duel = build_duel(
        cancer(),
        linear_model(cancer()),
        linear_model(cancer()),
        slices=["side", {"column": "side", "values": ["large"]}],
        slice_loss=loss,
    )
    calls = []

    def compare(_: Duel, _outputs: Any, indices: Any, _threshold: float | None, among: int) -> Gain:
        calls.append((len(indices), among))
        return measured

    monkeypatch.setattr(Duel, "gain", compare)
    large, small = (int((duel.rows["side"] == side).sum()) for side in ("large", "small"))
    result = outcome("slices", duel)
    assert calls == [(large, 3), (small, 3), (large, 3)]
    assert (result.state, result.observed, result.limit, result.rows) == (state, -0.1, -loss, large)
    assert result.interval == [measured.low, measured.high]


@pytest.mark.parametrize(("metric", "beyond"), [("accuracy", 1e-6), ("log_loss", -1e-6)])
def test_slice_score_equal_to_the_floor_passes(metric: str, beyond: float) -> None:
    """The floor is a minimum, or a maximum if the metric is an error."""
    plain = build_duel(cancer(), linear_model(cancer()), metric=metric)
    indices = np.flatnonzero(plain.rows["side"] == "small")
    value = plain.score(plain.challenger, None, indices)
    for floor, state in ((value, "passed"), (value + beyond, "failed")):
        piece = {"column": "side", "values": ["small"]}
        result = outcome(
            "slices", build_duel(cancer(), linear_model(cancer()), metric=metric, slices=[piece], slice_floor=floor)
        )
        assert (result.state, result.observed, result.limit, result.rows) == (state, value, floor, len(indices))


def labels(won: int, lost: int, **terms: Any) -> Duel:
    """Return a duel in which `won` labels are right only in the challenger, and `lost` only in the champion."""
    duel = build_duel(cancer(), linear_model(cancer()), **terms)
    right, rows = np.eye(2)[duel.truth], np.arange(len(duel.truth))
    wrong = right[:, ::-1]
    challenger = np.where((rows < lost)[:, None], wrong, right)
    champion = np.where(((rows >= lost) & (rows < lost + won))[:, None], wrong, right)
    return dataclasses.replace(duel, challenger=challenger, champion=champion)


@pytest.mark.parametrize(
    ("won", "lost", "metric", "state", "p_value"),
    [
        (5, 0, "accuracy", "passed", 0.0625),
        (4, 0, "accuracy", "failed", 0.125),
        (0, 5, "accuracy", "failed", 0.0625),
        (0, 0, "accuracy", "failed", 1.0),
        (0, 4, "log_loss", "passed", 0.125),
        (0, 5, "log_loss", "failed", 0.0625),
        (5, 0, "log_loss", "passed", 0.0625),
        (0, 0, "log_loss", "passed", 1.0),
    ],
)
def test_mcnemar_requires_significance_if_accuracy_decides(
    won: int, lost: int, metric: str, state: str, p_value: float
) -> None:
    """Five equal coin tosses have a probability of one in sixteen: exactly the limit at a confidence of 15/16."""
    result = outcome("mcnemar", labels(won, lost, metric=metric, confidence=0.9375))
    assert (result.state, result.limit) == (state, 0.0625)
    assert result.observed == pytest.approx(p_value)
    assert result.text.startswith(
        f"only the challenger is right on {won} rows, only the champion on {lost} (p-value {p_value:.3g}"
    )


def test_distance_to_a_limit_is_relative() -> None:
    """102 is closer to 100 than 0.6 to 0.5; if the limit is zero, the value itself counts."""
    shares = [Observation(True, "far", 0.6, 0.5), Observation(True, "near", 102.0, 100.0)]
    assert together(shares).text.startswith("near")
    assert together(shares[::-1]).text.startswith("near")
    zeros = [Observation(True, "far", 0.3, 0.0), Observation(True, "near", 0.2, 0.0)]
    assert together(zeros).text == "near (the nearest to its limit of 2)"
    failed = [Observation(False, "a little", 0.4, 0.5), Observation(False, "much", 1.0, 100.0), zeros[0]]
    assert (together(failed).text, together(failed).observed) == ("a little; much", 1.0)
    assert together(failed, ", ").text == "a little, much"


def test_each_model_is_scored_at_its_own_threshold() -> None:
    """The baseline decides by the most probable label; challenger, champion and reference have their own thresholds."""
    reference = Reference("trees", np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]] * 40), "all rows", threshold=0.35)
    truth, chances = np.array([0, 1, 0] * 40), np.array([[0.96, 0.04], [0.94, 0.06], [0.98, 0.02]] * 40)
    duel = build_duel(
        cancer(),
        linear_model(cancer()),
        linear_model(cancer()),
        more={
            "truth": truth,
            "challenger": chances,
            "champion": chances,
            "baseline": np.tile([0.7, 0.3], (120, 1)),
            "reference": reference,
            "threshold": 0.05,
            "champion_threshold": 0.01,
        },
        metric="accuracy",
    )
    assert duel.over_baseline.new == 1.0
    assert duel.over_baseline.old == pytest.approx(2 / 3)
    assert duel.over_champion is not None
    assert duel.over_champion.old == pytest.approx(1 / 3)
    assert duel.over_reference is not None
    assert duel.over_reference.old == 1.0
