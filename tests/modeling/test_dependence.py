"""Intervals of dependent rows draw blocks of time and whole groups, and are honest where there are few."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from tiltyard.arrays import Array
from tiltyard.modeling.evaluators.regression import Regression
from tiltyard.modeling.metrics.bootstrap import UNKNOWN, Bootstrap, Gain
from tiltyard.modeling.metrics.dependence import Blocks, Dependence, politis_white

MAE = Regression.metrics["mae"]


def autoregressive(rows: int, correlation: float, generator: np.random.Generator) -> Array:
    """Return a series with variance 1 and this autocorrelation."""
    values = generator.standard_normal(rows)
    for place in range(1, rows):
        values[place] = correlation * values[place - 1] + math.sqrt(1 - correlation**2) * values[place]
    return values


def mean_of(values: Array) -> dict[str, float]:
    """Return the mean of rows, as metrics are returned."""
    return {"mean": float(values.mean())}


def interval_of(values: Array, dependence: Dependence | None) -> tuple[float, float]:
    """Return the interval of the mean."""
    return Bootstrap(len(values), 0, 0.95, dependence).intervals(lambda places: mean_of(values[places]))["mean"]


def drawn_blocks(dependence: Dependence, values: Array) -> Blocks:
    """Return the blocks for the mean of values."""
    return dependence.blocks(lambda places: values[places].mean(keepdims=True))


def gain_of(new: Array, old: Array, dependence: Dependence | None) -> Gain:
    """Return the gain by the mean absolute error, for a truth of zero."""
    return Bootstrap(len(new), 0, 0.95, dependence).gain(
        MAE, lambda outputs, places: float(np.abs(outputs[places]).mean()), new, old
    )


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5))
def test_a_resample_holds_consecutive_units(units: int, length: int, seed: int) -> None:
    """Within a block each unit is followed by the next one, and there are as many units as rows were given."""
    blocks = Blocks(np.arange(units), np.arange(units + 1), min(length, units))
    (rows,) = blocks.resamples(seed, 1, 10**6)
    assert len(rows) == units
    for place, (first, second) in enumerate(pairwise(rows.tolist()), 1):
        assert place % blocks.length == 0 or second == (first + 1) % units


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(0, 5))
def test_groups_are_drawn_whole(names: list[int], seed: int) -> None:
    """In a resample every row of a group occurs as often as all others of it; no group is split."""
    unit = np.array(names)
    blocks = drawn_blocks(Dependence(unit, ordered=False), np.arange(len(unit), dtype=float))
    (rows,) = blocks.resamples(seed, 1, 10**6)
    times = np.bincount(rows, minlength=len(unit))
    assert all(len(set(times[unit == group])) == 1 for group in set(names))
    assert sum(times[names.index(group)] for group in set(names)) == len(set(names))


@pytest.mark.parametrize(("correlation", "least", "most"), [(0.0, 1, 4), (0.5, 6, 30), (0.9, 20, 180)])
def test_block_length_grows_with_the_autocorrelation(correlation: float, least: int, most: int) -> None:
    """A block is a few rows without autocorrelation, and many with a strong one."""
    values = autoregressive(1000, correlation, np.random.default_rng(1))
    assert least <= drawn_blocks(Dependence(np.arange(1000), ordered=True), values).length <= most


def test_politis_white_length_is_that_of_the_formula() -> None:
    """For an autocorrelation of .8 it is (1.5 * (2r / (1 - r^2))^2 * n)^(1/3), on average of several series."""
    lengths = [politis_white(autoregressive(20_000, 0.8, np.random.default_rng(seed))) for seed in range(12)]
    assert np.mean(lengths) == pytest.approx((1.5 * (1.6 / 0.36) ** 2 * 20_000) ** (1 / 3), rel=0.1)


def test_constant_values_have_blocks_of_one() -> None:
    """Two equal models have no differences to correlate."""
    assert drawn_blocks(Dependence(np.arange(50), ordered=True), np.zeros(50)).length == 1


def test_overlapping_targets_lengthen_the_blocks() -> None:
    """Rows that forecast 12 steps share targets with 11 neighbours, however they correlate."""
    values = np.random.default_rng(0).standard_normal(200)
    assert drawn_blocks(Dependence(np.arange(200), ordered=True, overlap=12), values).length == 12


def test_interval_of_an_autocorrelated_mean_has_the_width_of_theory() -> None:
    """For an autocorrelation of .8 it is three times as wide as for independent rows, and a little wider still."""
    widths = []
    for seed in range(8):
        values = autoregressive(1000, 0.8, np.random.default_rng(seed))
        low, high = interval_of(values, Dependence(np.arange(1000), ordered=True))
        widths.append((high - low) / (2 * 1.96 * values.std() / math.sqrt(1000)))
    assert 2.4 < float(np.mean(widths)) < 4.0


def test_interval_of_groups_uses_students_t() -> None:
    """Four equal groups give t with three degrees of freedom, and the variance between groups."""
    means, unit = np.array([0.0, 1.0, 2.0, 5.0]), np.repeat(np.arange(4), 25)
    gain = gain_of(np.zeros(100), means[unit], Dependence(unit, ordered=False))
    half = t.ppf(0.975, 3) * means.std(ddof=1) / 2
    assert gain.units == pytest.approx(4)
    assert (gain.high - gain.low) / 2 == pytest.approx(half, rel=0.08)
    assert not gain.proven
    assert gain_of(np.zeros(100), means[unit], None).proven  # rows drawn one by one claim too much


def test_unequal_groups_are_worth_fewer() -> None:
    """One group of half the rows and ten small ones are worth 3.6 groups."""
    unit = np.repeat(np.arange(11), [200] + [20] * 10)
    assert drawn_blocks(Dependence(unit, ordered=False), np.zeros(400)).independent == pytest.approx(400**2 / 44_000)


@pytest.mark.parametrize(
    "dependence",
    [
        Dependence(np.zeros(60, int), ordered=False),  # one group
        Dependence(np.repeat([0, 1], [55, 5]), ordered=False),  # nearly one
        Dependence(np.arange(60) // 10, ordered=True),  # six time steps
        Dependence(np.arange(60), ordered=True, overlap=40),
    ],
)
def test_too_few_units_give_no_interval(dependence: Dependence) -> None:
    """Nothing is proven, no loss is significant, and JSON holds no interval."""
    generator = np.random.default_rng(0)
    gain = gain_of(np.zeros(60), generator.standard_normal(60), dependence)
    assert (gain.low, gain.high) == UNKNOWN
    assert not gain.proven
    assert gain.ends == (None, None)
    assert gain.to_json() is None
    assert interval_of(generator.standard_normal(60), dependence) == UNKNOWN


def test_rows_of_a_time_step_stay_together_in_any_order() -> None:
    """Units are ordered by number, not by row; ten rows of each of 50 days are worth 50 days at most."""
    generator = np.random.default_rng(0)
    day = generator.permutation(np.repeat(np.arange(50), 10))
    blocks = drawn_blocks(Dependence(day, ordered=True), generator.standard_normal(500))
    assert blocks.independent <= 50
    for rows in blocks.resamples(0, 3, 10**6):
        assert set(np.bincount(day[rows]).tolist()) <= {0, 10, 20, 30, 40, 50, 60}
        assert (np.diff(np.flatnonzero(np.diff(day[rows]))) % 10 == 0).all()


def test_many_rows_are_drawn_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resample has no more rows than the limit, and the interval is no narrower."""
    unit = np.repeat(np.arange(40), 50)
    values = np.random.default_rng(0).standard_normal(40)[unit] + np.random.default_rng(1).standard_normal(2000)
    whole = interval_of(values, Dependence(unit, ordered=False))
    monkeypatch.setattr("tiltyard.modeling.metrics.bootstrap.DRAWN", 300)
    sizes = set()

    def mean(places: Array) -> dict[str, float]:
        sizes.add(len(places))
        return mean_of(values[places])

    part = Bootstrap(2000, 0, 0.95, Dependence(unit, ordered=False)).intervals(mean)["mean"]
    assert sizes == {300}
    assert 0.95 * (whole[1] - whole[0]) < part[1] - part[0] < 1.3 * (whole[1] - whole[0])


def test_many_steps_are_joined() -> None:
    """Of 5,500 steps, six are one unit, so that each unit can be left out once."""
    values = autoregressive(5500, 0.5, np.random.default_rng(0))
    blocks = drawn_blocks(Dependence(np.arange(5500), ordered=True, overlap=60), values)
    assert blocks.units == 917
    assert blocks.length == 10  # 60 steps


def test_p_value_is_that_of_a_t_test_between_groups() -> None:
    """For groups of equal size it equals the t-test of their means."""
    generator = np.random.default_rng(0)
    values = np.repeat(generator.normal(0.5, 1, 12), 10) + np.tile([-1, 1], 60)
    blocks = drawn_blocks(Dependence(np.repeat(np.arange(12), 10), ordered=False), values)
    means = values.reshape(12, 10).mean(axis=1)
    expected = 2 * t.sf(abs(means.mean()) / (means.std(ddof=1) / math.sqrt(12)), 11)
    assert blocks.p_value(values) == pytest.approx(expected)


def test_equal_models_win_rarely_in_a_series() -> None:
    """With an autocorrelation of .9, at most 6 % of 150 equal challengers win; with rows drawn one by one, 15 %."""
    wins = {"blocks": 0, "rows": 0}
    for seed in range(150):
        generator = np.random.default_rng(seed)
        shared, *own = (autoregressive(200, 0.9, generator) for _ in range(3))
        new, old = (0.8 * shared + 0.6 * errors for errors in own)
        gains = np.abs(old) - np.abs(new)
        blocks = drawn_blocks(Dependence(np.arange(200), ordered=True), gains)
        wins["blocks"] += blocks.p_value(gains) <= 0.05 and gains.mean() > 0
        wins["rows"] += gains.mean() / (gains.std() / math.sqrt(200)) > 1.96
    assert wins["rows"] >= 23
    assert wins["blocks"] <= 9
