"""Drift: PSI, KS and chi-square, compared with hand calculations and with SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tiltyard.arrays import Array
from tiltyard.modeling.metrics import drift_distance

COUNTS = st.lists(st.tuples(st.integers(1, 500), st.integers(1, 500)), min_size=2, max_size=12)


def test_psi_by_hand() -> None:
    """Halves become a quarter and three quarters: (1/4 - 1/2) ln(1/2) + (3/4 - 1/2) ln(3/2)."""
    found = drift_distance.psi(np.array([50, 50]), np.array([25, 75]))
    assert found.value == pytest.approx(0.25 * math.log(2) + 0.25 * math.log(1.5))
    assert found.value == pytest.approx(0.27465, abs=1e-5)


def test_psi_of_an_empty_bin_is_finite() -> None:
    """An empty bin counts as half a row: 0.5 of 100.5 against 50 of 100."""
    found = drift_distance.psi(np.array([50, 50]), np.array([0, 100]))
    one, other = np.array([0.5, 0.5]), np.array([0.5, 100]) / 100.5
    assert found.value == pytest.approx(float(((other - one) * np.log(other / one)).sum()))


def test_chi_square_by_hand() -> None:
    """For 20 and 30 against 30 and 20, 25 is expected everywhere: 4 * 25 / 25 = 4, and V = sqrt(4 / 100)."""
    found = drift_distance.chi2(np.array([20, 30]), np.array([30, 20]))
    assert found.value == pytest.approx(0.2)
    assert found.chance == pytest.approx(0.0455, abs=1e-4)


def test_ks_by_hand() -> None:
    """For 1 2 3 4 and 3 4 5 6, half of the first sample and none of the second is at most 2."""
    assert drift_distance.ks(np.array([1.0, 2, 3, 4]), np.array([3.0, 4, 5, 6])).value == 0.5


@given(COUNTS)
def test_chi_square_equals_scipy(pairs: list[tuple[int, int]]) -> None:
    """The statistic and the p-value are equal for any table."""
    old, new = zip(*pairs, strict=True)
    found = drift_distance.chi2(np.array(old), np.array(new))
    expected = stats.chi2_contingency([old, new], correction=False)
    assert found.value == pytest.approx(math.sqrt(expected.statistic / (sum(old) + sum(new))))
    assert found.chance == pytest.approx(expected.pvalue, abs=1e-12)


@given(st.floats(0, 3000), st.integers(1, 60))
def test_chi_square_tail_equals_scipy(value: float, degrees: int) -> None:
    """Degrees of freedom are odd and even, and values extreme."""
    assert drift_distance.chi2_tail(value, degrees) == pytest.approx(stats.chi2.sf(value, degrees), abs=1e-12)


@given(st.floats(0, 20))
def test_kolmogorov_tail_equals_scipy(value: float) -> None:
    """The series is accurate to 1e-9."""
    assert drift_distance.kolmogorov_tail(value) == pytest.approx(stats.kstwobign.sf(value), abs=1e-9)


@given(st.lists(st.integers(-50, 50), min_size=4, max_size=80), st.lists(st.integers(-50, 50), min_size=4, max_size=80))
def test_ks_equals_scipy(old: list[int], new: list[int]) -> None:
    """Samples have ties."""
    found = drift_distance.ks(np.array(old, dtype=float), np.array(new, dtype=float))
    assert found.value == pytest.approx(stats.ks_2samp(old, new, method="asymp").statistic)


def test_p_value_of_psi_is_calibrated() -> None:
    """Of 2000 pairs of samples from one distribution, about one in twenty has a p-value below 0.05."""
    dice = np.random.default_rng(0)
    p_values = [
        drift_distance.psi(*drift_distance.binned(dice.normal(size=300), dice.normal(size=200))).chance
        for _ in range(2000)
    ]
    assert 0.03 < np.mean(np.array(p_values) < 0.05) < 0.08


def test_missing_values_are_a_bin_of_psi() -> None:
    """If a third of equal samples is missing, PSI is large, but KS is not."""
    dice = np.random.default_rng(0)
    old, new = dice.normal(size=900), dice.normal(size=900)
    new[:300] = np.nan
    psi, ks = drift_distance.drift_distances(old, new)
    assert psi.value > 0.2
    assert psi.chance < 1e-6
    assert ks.chance > 0.01


def test_rare_categories_are_combined() -> None:
    """Hundreds of distinct categories with one row each do not count as drift."""
    old = np.array([f"a{i}" for i in range(300)] + ["x"] * 300)
    new = np.array([f"b{i}" for i in range(300)] + ["x"] * 300)
    assert [d.value for d in drift_distance.drift_distances(old, new)] == [0, 0]


@pytest.mark.parametrize("values", [np.array([]), np.array([np.nan, np.nan]), np.array([1.0])])
def test_empty_samples_have_no_distance(values: Array) -> None:
    """Empty samples, missing values and single values do not count as drift."""
    assert all(d.chance == 1 for d in drift_distance.drift_distances(values, values))
