"""Overlap of boxes, non-maximum suppression and average precision, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tiltyard.modeling.metrics import average_precision, bright_spots
from tiltyard.modeling.problems._boxes import intersection_over_union, pairs, suppress
from tiltyard.modeling.problems._matching import OVERLAPS, right_at

SQUARE = np.array([0.0, 0.0, 10.0, 10.0])


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ([0, 0, 10, 10], 1.0),
        ([5, 0, 15, 10], 50 / 150),
        ([0, 0, 10, 5], 0.5),
        ([10, 0, 20, 10], 0.0),
        ([30, 30, 40, 40], 0.0),
        ([2, 2, 2, 2], 0.0),
    ],
)
def test_overlap_is_the_common_share(other: list[float], expected: float) -> None:
    """Boxes that only touch, or have no area, have nothing in common."""
    assert intersection_over_union(SQUARE, np.array(other)) == pytest.approx(expected)


def test_suppression_keeps_the_best_of_a_group() -> None:
    """Of two boxes that overlap by 2/3 the better one is kept; a third one that overlaps little stays."""
    boxes = np.array([[0, 0, 10, 10], [0, 2, 10, 12], [0, 8, 10, 18]])
    assert suppress(boxes, np.array([0.5, 0.9, 0.7]), 0.6).tolist() == [1, 2]
    assert suppress(boxes, np.array([0.5, 0.9, 0.7]), 0.7).tolist() == [1, 2, 0]
    assert suppress(boxes[:0], np.array([]), 0.6).tolist() == []


def test_suppressed_box_suppresses_nothing() -> None:
    """A chain: the first removes the second, so that the third, which only the second overlaps, is kept."""
    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
    assert suppress(boxes, np.array([0.9, 0.8, 0.7]), 0.4).tolist() == [0, 2]


def test_area_counts_all_points_of_the_curve() -> None:
    """Right, wrong, right of three objects: precision 1 up to a third, 2/3 up to two thirds, then nothing."""
    assert average_precision.average_precision(np.array([True, False, True]), 3) == pytest.approx((1 + 2 / 3) / 3)
    assert average_precision.average_precision(np.array([False, True, True]), 2) == pytest.approx(2 / 3)
    assert average_precision.average_precision(np.array([], dtype=bool), 2) == 0


def test_second_detection_of_an_object_is_wrong() -> None:
    """Each object is taken once, by the best detection, and only by its own label."""
    truth = np.array([1, 2]), np.array([SQUARE, [20, 0, 30, 10]])
    found = np.array([1, 1, 1]), np.array([SQUARE, SQUARE, [20, 0, 30, 10]])
    assert right_at(truth, found)[:, 0].tolist() == [True, False, False]


def test_overlap_decides_at_which_limits_a_detection_is_right() -> None:
    """An overlap of 0.8 is enough for limits up to 0.8."""
    right = right_at((np.array([0]), SQUARE[None]), (np.array([0]), np.array([[0, 0, 10, 8.0]])))
    assert right[0].tolist() == [limit <= 0.8 + 1e-9 for limit in OVERLAPS.tolist()]


def test_better_fit_of_two_objects_is_taken() -> None:
    """A detection takes the object with the larger overlap, though the other one comes first."""
    truth = np.array([0, 0]), np.array([[0, 0, 10, 6.0], SQUARE])
    right = right_at(truth, (np.array([0, 0]), np.array([SQUARE, [0, 0, 10, 6.0]])))
    assert right[:, -1].tolist() == [True, True]


def test_label_without_objects_has_no_precision() -> None:
    """It is NaN, and left out of the mean; one that is never found has 0."""
    values = average_precision.by_label(
        np.array([0.9, 0.8]), np.array([0, 1]), np.array([True, False]), np.array([1, 0, 2])
    )
    assert values[[0, 2]].tolist() == [1, 0]
    assert np.isnan(values[1])


def test_pairs_compare_every_box_with_every_other() -> None:
    """The shape is that of both lists."""
    assert pairs(np.zeros((2, 4)), np.zeros((3, 4))).shape == (2, 3)


def test_bright_spots_are_connected_pixels() -> None:
    """Pixels that touch at a corner are one spot; small ones are left out, and larger boxes come first."""
    picture = np.zeros((1, 16, 16, 1))
    picture[0, 1:4, 1:4] = picture[0, 4:8, 4:9] = picture[0, 12:15, 10:14] = 200
    picture[0, 15, 0] = 200
    (found,) = bright_spots.boxes(picture, 8)
    assert found.tolist() == [[1, 1, 9, 8], [10, 12, 14, 15]]
    assert bright_spots.scores(found, (16, 16)).tolist() == [56 / 256, 12 / 256]
    assert bright_spots.boxes(picture, 1)[0].tolist() == [[1, 1, 9, 8]]
