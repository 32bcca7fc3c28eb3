"""Assignment, the tracker, and the counts of identities and switches, by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltyard.arrays import Array
from tiltyard.data.images.objects import clip_name
from tiltyard.modeling.metrics import tracks
from tiltyard.modeling.problems import _tracker, _tracks
from tiltyard.modeling.problems._assignment import assign


def cheapest(costs: Array) -> float:
    """Return the lowest cost of all assignments, tried one by one."""
    costs = costs if costs.shape[0] <= costs.shape[1] else costs.T
    rows, columns = costs.shape
    return float(min(costs[range(rows), list(order)].sum() for order in itertools.permutations(range(columns), rows)))


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10_000))
def test_assignment_has_the_lowest_cost(rows: int, columns: int, seed: int) -> None:
    """No other assignment is cheaper; each row and column is used at most once, also with equal costs."""
    costs = np.random.default_rng(seed).integers(-3, 4, (rows, columns)).astype(np.float64)
    down, across = assign(costs)
    assert len(down) == len({*across.tolist()}) == min(rows, columns)
    assert (np.diff(down) > 0).all()
    assert costs[down, across].sum() == pytest.approx(cheapest(costs))


def test_costs_that_are_not_finite_are_refused() -> None:
    """NaN would never end."""
    with pytest.raises(ValueError, match="finite"):
        assign(np.array([[np.nan]]))


def box(x: float, y: float = 0.0) -> list[float]:
    """Return a square of 10 pixels."""
    return [x, y, x + 10, y + 10]


def frame(*objects: tuple[int, float], label: int = 0) -> _tracks.Frame:
    """Return numbers of tracks, one label, and squares at these places."""
    numbers, boxes = np.array([number for number, _ in objects]), np.array([box(x) for _, x in objects]).reshape(-1, 4)
    return numbers, np.full(len(numbers), label), boxes


def totals(truth: list[_tracks.Frame], found: list[_tracks.Frame]) -> dict[str, float]:
    """Return the counts of a clip by name."""
    counts = _tracks.count(truth, found).sum(axis=0).tolist()
    return dict(zip(_tracks.COUNTS, counts, strict=True))


def test_perfect_tracks_have_no_errors() -> None:
    """Numbers need not be the same, only stay with their object."""
    truth = [frame((1, x), (2, 100 - x)) for x in (0, 3, 6)]
    found = [frame((9, x), (4, 100 - x)) for x in (0, 3, 6)]
    counts = _tracks.count(truth, found)
    assert (tracks.idf1(counts), tracks.mota(counts), tracks.switches(counts)) == (1, 1, 0)


def test_change_of_numbers_is_counted_once_for_each_object() -> None:
    """After two of four frames both numbers change places: 2 switches; each whole track agrees in two frames."""
    truth = [frame((1, 0), (2, 50))] * 4
    found = [frame((1, 0), (2, 50))] * 2 + [frame((2, 0), (1, 50))] * 2
    counts = _tracks.count(truth, found)
    assert counts.sum(axis=0).tolist() == [8, 8, 4, 0, 0, 2]
    assert tracks.idf1(counts) == 0.5
    assert tracks.mota(counts) == 1 - 2 / 8
    assert tracks.switches(counts) == 25


def test_missed_and_wrong_boxes_are_counted() -> None:
    """One box is missed in the second frame, where another one is found that is not there."""
    truth, found = [frame((1, 0)), frame((1, 0))], [frame((5, 0)), frame((6, 40))]
    assert totals(truth, found) == {
        "objects": 2, "found": 2, "identified": 1, "missed": 1, "wrong": 1, "switches": 0
    }  # fmt: skip


def test_box_with_another_label_is_wrong() -> None:
    """It is no object that is there, and the one that is there is missed."""
    counts = totals([frame((1, 0))] * 2, [frame((5, 0)), frame((5, 0), label=1)])
    assert (counts["identified"], counts["missed"], counts["wrong"]) == (1, 1, 1)


def test_new_number_after_a_gap_is_a_switch() -> None:
    """An object that is found again under another number was lost."""
    truth = [frame((1, 0))] * 3
    assert totals(truth, [frame((5, 0)), frame(), frame((6, 0))])["switches"] == 1
    assert totals(truth, [frame((5, 0)), frame(), frame((5, 0))])["switches"] == 0


def test_match_of_the_frame_before_is_kept() -> None:
    """Where two boxes overlap an object, that of before keeps it, though the other fits better."""
    truth = [frame((1, 0)), frame((1, 0))]
    assert totals(truth, [frame((5, 0)), frame((5, 3), (6, 0))])["switches"] == 0


def test_clips_without_objects_have_no_identities() -> None:
    """Nothing there and nothing found: nothing to count."""
    counts = _tracks.count([frame()], [frame()])
    assert (tracks.idf1(counts), tracks.mota(counts), tracks.switches(counts)) == (0, 0, 0)
    assert totals([frame()], [frame((1, 0))])["wrong"] == 1


def numbers(*frames: list[tuple[float, float]], labels: list[list[int]] | None = None) -> list[list[int]]:
    """Return the numbers that the tracker gives to squares at these places."""
    clip = [
        (np.array(labels[place] if labels else [0] * len(own)), np.array([box(*one) for one in own]).reshape(-1, 4))
        for place, own in enumerate(frames)
    ]
    return [one.tolist() for one in _tracker.numbered(clip)]


def test_objects_keep_their_numbers_in_any_order() -> None:
    """Detections are sorted by score, which changes."""
    assert numbers([(0, 0), (50, 0)], [(52, 0), (2, 0)], [(4, 0), (54, 0)]) == [[1, 2], [2, 1], [1, 2]]


def test_velocity_tells_crossing_objects_apart() -> None:
    """Two of one label pass through one another with 4 pixels per frame: each keeps its number."""
    frames = [[(4.0 * step, 0.0), (40 - 4.0 * step, 0.0)] for step in range(11)]
    assert all(one == [1, 2] for one in numbers(*frames))


def test_object_that_is_hidden_for_some_frames_keeps_its_number() -> None:
    """It is expected where its velocity leads; after more frames it is a new one."""
    moving: list[list[tuple[float, float]]] = [[(5.0 * step, 0.0)] for step in range(8)]
    assert numbers(*moving[:3], [], [], [], moving[6])[-1] == [1]
    assert numbers(*moving[:3], *[[]] * 5, [(40.0, 0.0)])[-1] == [2]


def test_detection_beyond_the_gate_is_another_object() -> None:
    """A square of 10 pixels does not jump by 30."""
    assert numbers([(0, 0)], [(30, 0)]) == [[1], [2]]


@pytest.mark.parametrize(
    ("name", "clip"), [("train-00001-004.png", "train-00001"), ("a/4.png", "a"), ("walk-2-7.png", "walk-2")]
)
def test_name_of_a_file_tells_its_clip(name: str, clip: str) -> None:
    """It is what comes before the number of the frame."""
    assert clip_name(name) == clip
