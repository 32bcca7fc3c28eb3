"""Checks that compare with another model, at the ends of an interval: what is enough, and what is told of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from duels import build_duel, cancer, linear_model

from tiltyard import plugins
from tiltyard.gate.checks.base import Observation, Outcome, together
from tiltyard.gate.duel import Duel
from tiltyard.modeling.metrics.bootstrap import Gain
from tiltyard.monitoring.live_comparison import LiveComparison


def outcome(name: str, duel: Duel) -> Outcome:
    """Ask one check."""
    found: Outcome = plugins.load("checks", name)().outcome(duel)
    return found


def gain(value: float, low: float, high: float) -> Gain:
    """Return a gain over a model whose figure is 0."""
    return Gain(value, 0.0, value, low, high)


@pytest.mark.parametrize(
    ("seen", "least", "state", "more"),
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
def test_a_champion_is_beaten_by_an_interval_above_zero(
    seen: Gain, least: float, state: str, more: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which reaches the minimum; whether more rows would have shown it is told where the gain is too uncertain."""
    duel = build_duel(cancer(), linear_model(cancer()), minimum_gain=least)
    monkeypatch.setattr(Duel, "over_champion", seen)
    found = outcome("champion", duel)
    assert (found.state, found.observed, found.limit, found.interval) == (
        state,
        seen.value,
        least,
        [seen.low, seen.high],
    )
    assert (
        f"; {len(duel.truth)} sealed rows detect a gain of 0.149 or more with a power of 80 %" in found.text
    ) is more
    assert ("with a power of 80 %" in found.text) is more


@pytest.mark.parametrize(("high", "state"), [(0.0, "passed"), (-1e-9, "failed")])
def test_an_interval_that_just_reaches_zero_may_be_chance(
    high: float, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a simple model, and by live truths."""
    seen = gain(-0.1, -0.2, high)
    monkeypatch.setattr(Duel, "over_simple", seen)
    duel = build_duel(cancer(), linear_model(cancer()), more={"live": LiveComparison(seen, 200, same=True)})
    for name in ("simple_model", "live_quality"):
        found = outcome(name, duel)
        assert (found.state, found.observed, found.limit, found.interval) == (state, -0.1, 0, [-0.2, high])
    assert found.rows == 200


@pytest.mark.parametrize(
    ("seen", "loss", "state"),
    [
        (gain(-0.1, -0.2, 0.0), 0.0, "passed"),
        (gain(-0.1, -0.2, -0.01), 0.1, "passed"),
        (gain(-0.1, -0.2, -0.01), 0.09, "failed"),
    ],
)
def test_a_slice_may_lose_by_chance_or_by_as_much_as_is_allowed(
    seen: Gain, loss: float, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each slice is asked once, as one of all that there are; figures and rows are those of the slice that is told."""
    duel = build_duel(
        cancer(),
        linear_model(cancer()),
        linear_model(cancer()),
        slices=["side", {"column": "side", "values": ["large"]}],
        slice_loss=loss,
    )
    asked = []

    def compare(_: Duel, __: Any, places: Any, among: int) -> Gain:
        asked.append((len(places), among))
        return seen

    monkeypatch.setattr(Duel, "gain", compare)
    large, small = (int((duel.rows["side"] == side).sum()) for side in ("large", "small"))
    found = outcome("slices", duel)
    assert asked == [(large, 3), (small, 3), (large, 3)]
    assert (found.state, found.observed, found.limit, found.rows) == (state, -0.1, -loss, large)
    assert found.interval == [seen.low, seen.high]


@pytest.mark.parametrize(("metric", "beyond"), [("accuracy", 1e-6), ("log_loss", -1e-6)])
def test_a_slice_that_just_reaches_the_floor_is_good_enough(metric: str, beyond: float) -> None:
    """Whether the floor is one below or, for an error, one above."""
    plain = build_duel(cancer(), linear_model(cancer()), metric=metric)
    places = np.flatnonzero(plain.rows["side"] == "small")
    value = plain.score(plain.challenger, places)
    for floor, state in ((value, "passed"), (value + beyond, "failed")):
        one = {"column": "side", "values": ["small"]}
        found = outcome(
            "slices", build_duel(cancer(), linear_model(cancer()), metric=metric, slices=[one], slice_floor=floor)
        )
        assert (found.state, found.observed, found.limit, found.rows) == (state, value, floor, len(places))


def labels(won: int, lost: int, **terms: Any) -> Duel:
    """Return a duel in which the challenger has some labels right that the champion has not, and the other way."""
    duel = build_duel(cancer(), linear_model(cancer()), **terms)
    right, rows = np.eye(2)[duel.truth], np.arange(len(duel.truth))
    wrong = right[:, ::-1]
    challenger = np.where((rows < lost)[:, None], wrong, right)
    champion = np.where(((rows >= lost) & (rows < lost + won))[:, None], wrong, right)
    return dataclasses.replace(duel, challenger=challenger, champion=champion)


@pytest.mark.parametrize(
    ("won", "lost", "metric", "state", "chance"),
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
def test_labels_won_must_be_more_than_chance_where_accuracy_decides(
    won: int, lost: int, metric: str, state: str, chance: float
) -> None:
    """One coin in sixteen falls five times alike: at a confidence of 15/16 that is just no chance any more."""
    found = outcome("mcnemar", labels(won, lost, metric=metric, confidence=0.9375))
    assert (found.state, found.limit) == (state, 0.0625)
    assert found.observed == pytest.approx(chance)
    assert found.text.startswith(f"{won} labels won and {lost} lost against the champion, by chance {chance:.3g}")


def test_how_near_a_limit_is_counts_as_a_share_of_it() -> None:
    """102 is nearer to 100 than 0.6 to 0.5; where the limit is zero, the figure itself counts."""
    shares = [Observation(True, "far", 0.6, 0.5), Observation(True, "near", 102.0, 100.0)]
    assert together(shares).text.startswith("near")
    assert together(shares[::-1]).text.startswith("near")
    zeros = [Observation(True, "far", 0.3, 0.0), Observation(True, "near", 0.2, 0.0)]
    assert together(zeros).text == "near (the nearest to its limit of 2)"
    failed = [Observation(False, "a little", 0.4, 0.5), Observation(False, "much", 1.0, 100.0), zeros[0]]
    assert (together(failed).text, together(failed).observed) == ("a little; much", 1.0)
    assert together(failed, ", ").text == "a little, much"
