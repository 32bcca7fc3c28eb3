"""Distances and neighbourhoods of samples: exact cases, closed forms, and samples that are wrong in a known way."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tiltyard.arrays import Array
from tiltyard.modeling.distances.class_histogram import class_shares, histogram_distance, missing_classes
from tiltyard.modeling.distances.frechet_distance import Gaussian, frechet_distance
from tiltyard.modeling.metrics.kernel_distance import kernel_distance, squared_discrepancy
from tiltyard.modeling.metrics.neighbour_manifolds import (
    MAX_ROWS,
    Neighbourhoods,
    nearest,
    neighbourhoods,
    squared_distances,
)


def _normal(rows: int, width: int = 8, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((rows, width))


def test_the_frechet_distance_of_a_sample_from_itself_is_zero() -> None:
    """Also if its covariance is singular, and in an order of its own."""
    rows = _normal(300)
    flat = np.concatenate([rows, rows[:, :3] * 1e4], axis=1)
    assert frechet_distance(rows, rows[::-1]) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-3)  # of a variance of 3e8


def test_frechet_distances_of_known_normal_distributions() -> None:
    """A shift counts by its square, scales by squared differences of deviations, and turns by the matrices."""
    mean, unit = np.zeros(2), np.eye(2)
    one = Gaussian.from_moments(mean, unit)
    assert one.distance(Gaussian.from_moments(np.array([3.0, 4.0]), unit)) == pytest.approx(25)
    scaled = Gaussian.from_moments(mean, np.diag([4.0, 9.0]))
    assert one.distance(scaled) == pytest.approx((2 - 1) ** 2 + (3 - 1) ** 2)
    # of [[2, 1], [1, 2]] the roots of the eigenvalues 3 and 1 count
    assert one.distance(Gaussian.from_moments(mean, np.array([[2.0, 1], [1, 2]]))) == pytest.approx(
        4 + 2 - 2 * (np.sqrt(3) + 1)
    )


def test_the_frechet_distance_is_symmetric_and_agrees_with_the_root_of_the_product() -> None:
    """The usual formula takes the root of a product of covariances, which is not symmetric."""
    scipy_linalg = pytest.importorskip("scipy.linalg")
    turn = _normal(8, 8, seed=3)
    first, second = _normal(500), _normal(400, seed=1) @ turn + 0.5
    covariances = [np.cov(part, rowvar=False) for part in (first, second)]
    root = scipy_linalg.sqrtm(covariances[0] @ covariances[1]).real
    moved = np.square(first.mean(axis=0) - second.mean(axis=0)).sum()
    expected = moved + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(second, first) == pytest.approx(expected, rel=1e-8)


def test_a_sample_with_fewer_rows_than_features_has_a_finite_distance() -> None:
    """Its covariance is singular; the distance is not negative either."""
    assert 0 < frechet_distance(_normal(5, 30), _normal(500, 30, seed=1)) < 100


def test_the_kernel_distance_of_two_rows_worked_by_hand() -> None:
    """Rows of one number: k(x, y) = (x y + 1) ** 3, without pairs of a row with itself."""
    first, second = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    # within first: k(0, 1) = 1; within second: k(1, 2) = 27; between: 1, 1, 8, 27 -> 9.25
    assert squared_discrepancy(first, second) == pytest.approx(1 + 27 - 2 * 9.25)


def test_the_kernel_distance_is_near_zero_for_one_distribution_and_not_for_two() -> None:
    """Its standard error tells both apart, and covers 0 as often as it should."""
    same = [kernel_distance(_normal(2000, seed=seed), _normal(2000, seed=seed + 100)) for seed in range(30)]
    within = np.mean([abs(one.value) <= 2.1 * one.standard_error for one in same])
    assert within >= 0.8
    other = kernel_distance(_normal(2000), _normal(2000, seed=1) + 0.3)
    assert other.value > 5 * other.standard_error > 0


def test_the_kernel_distance_depends_on_the_seed_alone() -> None:
    """The same seed gives the same blocks."""
    first, second = _normal(200), _normal(300, seed=1)
    assert kernel_distance(first, second, seed=4) == kernel_distance(first, second, seed=4)
    assert kernel_distance(first, second, seed=4) != kernel_distance(first, second, seed=5)
    with pytest.raises(ValueError, match="expected at least 4 rows in each sample; received 3"):
        kernel_distance(first[:3], second)


def test_neighbourhoods_of_five_rows_worked_by_hand() -> None:
    """With one neighbour, rows 0, 1, 3 reach 1, 1 and 2; samples 0.5, 9, 9.5 reach 8.5, 0.5, 0.5."""
    real, samples = np.array([[0.0], [1.0], [3.0]]), np.array([[0.5], [9.0], [9.5]])
    found = neighbourhoods(real, samples, neighbours=1)
    assert found.precise.tolist() == [1, 0, 0]
    assert found.density.tolist() == [2, 0, 0]
    assert found.recalled.tolist() == [1, 1, 1]
    assert found.covered.tolist() == [1, 1, 0]
    expected = {"precision": 1 / 3, "recall": 1, "density": 2 / 3, "coverage": 2 / 3}
    assert found.scores == pytest.approx(expected)


def test_the_same_rows_have_full_precision_recall_and_coverage() -> None:
    """Density is about 1; a copy of the rows is within each neighbourhood."""
    rows = _normal(700)
    scores = neighbourhoods(rows, rows).scores
    assert scores["precision"] == scores["recall"] == scores["coverage"] == 1
    assert scores["density"] == pytest.approx(1.2, abs=0.01)  # 5 others, itself


def _modes(shares: list[float], rows: int = 1000, seed: int = 0) -> Array:
    """Draw from four separate normal distributions."""
    generator = np.random.default_rng(seed)
    centres = np.array([[0, 0], [20, 0], [0, 20], [20, 20]])[generator.choice(4, rows, p=shares)]
    return np.asarray(centres + generator.standard_normal((rows, 2)))


def _compared(samples: Array) -> dict[str, float]:
    return neighbourhoods(_modes([0.25] * 4), samples).scores


def test_dropped_modes_lower_recall_and_coverage_but_not_precision() -> None:
    """A generator that draws from two of four modes makes right samples, and half of what there is."""
    full, half = _compared(_modes([0.25] * 4, seed=1)), _compared(_modes([0.5, 0.5, 0, 0], seed=1))
    assert half["precision"] > 0.95
    assert full["recall"] > 0.9
    assert half["recall"] < 0.6
    assert full["coverage"] > 0.9
    assert half["coverage"] < 0.6


def test_noise_lowers_precision_and_density() -> None:
    """Samples between the modes are in no neighbourhood."""
    noise = np.random.default_rng(2).uniform(-5, 25, (1000, 2))
    full, noisy = _compared(_modes([0.25] * 4, seed=1)), _compared(noise)
    assert full["precision"] > 0.95
    assert noisy["precision"] < 0.4
    assert full["density"] > 0.9
    assert noisy["density"] < 0.3


def test_one_outlier_among_real_rows_raises_precision_but_not_density() -> None:
    """Its neighbourhood is wide: any sample far out is in it. This is why density counts neighbourhoods."""
    real = np.concatenate([_modes([0.25] * 4), [[500.0, 500.0]]])
    scores = neighbourhoods(real, 500 + 50 * np.random.default_rng(2).standard_normal((1000, 2))).scores
    assert scores["precision"] == 1
    assert scores["density"] == pytest.approx(0.2)


def test_neighbourhoods_of_many_rows_take_a_bounded_part_of_them() -> None:
    """Rows above the limit are left out evenly, since the cost is quadratic; few rows are refused."""
    rows = _normal(MAX_ROWS + 500, 2)
    started = time.monotonic()
    found = neighbourhoods(rows, _normal(200, 2, seed=1))
    assert len(found.recalled) == MAX_ROWS
    assert time.monotonic() - started < 60
    with pytest.raises(ValueError, match="expected more than 5 rows in each sample; received 5"):
        neighbourhoods(rows[:5], rows)


def test_the_nearest_known_row() -> None:
    """Distances are Euclidean; a copy has distance 0."""
    distances, places = nearest(np.array([[3.0, 4.0], [1.0, 1.0]]), np.array([[0.0, 0.0], [1.0, 1.0]]))
    assert places.tolist() == [1, 1]
    assert distances.tolist() == pytest.approx([np.sqrt(13), 0])
    assert squared_distances(np.array([[1.0, 2.0]]), np.array([[4.0, 6.0]])).tolist() == [[25.0]]


def test_histograms_of_classes() -> None:
    """Total variation: 0 for the same shares, 1 for none in common; a class with few samples is missing."""
    real = np.repeat([0, 1, 2, 3], 25)
    assert histogram_distance(real, real[::-1], 4) == 0
    assert histogram_distance(np.zeros(10, int), np.ones(10, int), 2) == 1
    one_lost = np.repeat([0, 1, 2], [50, 25, 25])
    assert histogram_distance(real, one_lost, 4) == pytest.approx(0.25)
    assert missing_classes(one_lost, class_shares(real, 4)).tolist() == [3]
    assert missing_classes(real, class_shares(real, 4)).tolist() == []


def test_neighbourhoods_are_plain_means() -> None:
    """So that they can be drawn anew, row by row, for an interval."""
    rows = neighbourhoods(_normal(50), _normal(60, seed=1))
    assert isinstance(rows, Neighbourhoods)
    assert rows.scores["recall"] == rows.recalled.mean()
    assert len(rows.precise) == len(rows.density) == 60
    assert len(rows.covered) == len(rows.recalled) == 50
