"""Shapley values with known results."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltyard.arrays import Array
from tiltyard.explain.math.shapley import coalition_count, is_exact, mix_rows, shapley

BACKGROUND = np.array([[0.0, 1.0, 2.0, -1.0], [2.0, -1.0, 0.0, 3.0], [1.0, 1.0, 1.0, 1.0]])
ROW = np.array([3.0, -2.0, 5.0, 0.5])


def shared(
    function: Callable[[Array], Array],
    row: Array = ROW,
    background: Array = BACKGROUND,
    spans: list[slice] | None = None,
    pairs: int = 1,
) -> tuple[Array, float]:
    """Share out what a function of rows gives, against a background."""
    spans = spans or [slice(place, place + 1) for place in range(len(row))]
    games = [partial(lambda other, kept: function(mix_rows(row, other, spans, kept)), other) for other in background]
    return shapley(games, len(spans), pairs, np.random.default_rng(0))


def widened(values: Array, columns: int) -> Array:
    """Put columns of random numbers beside some, so that orders are drawn and not all coalitions asked about."""
    return np.concatenate([values, np.random.default_rng(1).normal(size=(*values.shape[:-1], columns))], axis=-1)


def test_a_line_gives_each_weight_times_the_distance_from_the_mean() -> None:
    """Exactly w (x - mean of the background), and the base is the line's mean."""
    weights = np.array([2.0, -1.0, 0.5, 0.0])
    found, base = shared(lambda rows: rows @ weights + 7)
    assert found == pytest.approx(weights * (ROW - BACKGROUND.mean(axis=0)))
    assert base == pytest.approx(BACKGROUND.mean(axis=0) @ weights + 7)


def test_a_line_of_many_columns_is_exact_with_one_pair_of_orders() -> None:
    """Orders are drawn where columns are many; of a line any order says the same."""
    row, background = widened(ROW, 30), widened(BACKGROUND, 30)
    assert not is_exact(len(row), 1)
    weights = np.random.default_rng(2).normal(size=len(row))
    found, _ = shared(lambda rows: rows @ weights, row, background)
    assert found == pytest.approx(weights * (row - background.mean(axis=0)))


def test_an_interaction_is_split_evenly() -> None:
    """Against zeros, x1 times x2 is due to either by half; columns that take no part get nothing."""
    found, base = shared(lambda rows: rows[:, 0] * rows[:, 1], background=np.zeros((1, 4)))
    assert found == pytest.approx([-3.0, -3.0, 0.0, 0.0])
    assert base == 0


def test_an_interaction_of_two_is_exact_with_a_pair_of_orders() -> None:
    """An order and its reverse have each of the two come first once, however many others there are."""
    found, _ = shared(lambda rows: rows[:, 0] * rows[:, 1], widened(ROW, 30), np.zeros((1, 34)))
    assert found[:2] == pytest.approx([-3.0, -3.0])
    assert not found[2:].any()


def test_all_orders_by_hand() -> None:
    """Three players, of whom the first needs one of the others: 2/3, 1/6, 1/6 by counting the six orders."""
    found, base = shapley([lambda kept: kept[:, 0] & (kept[:, 1] | kept[:, 2])], 3, 1, np.random.default_rng(0))
    assert found == pytest.approx([2 / 3, 1 / 6, 1 / 6])
    assert base == 0


def test_the_flags_of_a_name_are_one_player() -> None:
    """Features of one span come and go together, and what they do together is that column's."""
    spans = [slice(0, 3), slice(3, 4)]
    found, base = shared(lambda rows: rows[:, :3].prod(axis=1) + rows[:, 3], spans=spans)
    assert found.shape == (2,)
    assert found[0] == pytest.approx(ROW[:3].prod() - BACKGROUND[:, :3].prod(axis=1).mean())
    assert base + found.sum() == pytest.approx(ROW[:3].prod() + ROW[3])


def test_drawn_orders_come_near_all_of_them() -> None:
    """With many orders the estimate is what enumeration gives."""
    game = partial(_rough, np.random.default_rng(3).normal(size=512))
    generator = np.random.default_rng(4)
    exact, _ = shapley([game], 9, 1000, generator)
    assert not is_exact(9, 20)
    near = np.mean([shapley([game], 9, 20, generator)[0] for _ in range(50)], axis=0)
    assert near == pytest.approx(exact, abs=0.1)


def _rough(worth: Array, kept: Array) -> Array:
    """Return each coalition any number."""
    found: Array = worth[kept @ (1 << np.arange(kept.shape[1]))]
    return found


def test_as_many_coalitions_are_asked_about_as_said() -> None:
    """Whoever limits requests can rely on it."""
    for players, pairs in ((3, 2), (8, 1), (10, 4), (40, 2)):
        seen: list[int] = []

        def game(kept: Array, seen: list[int] = seen) -> Array:
            seen.append(len(kept))
            return np.asarray(kept.sum(axis=1))

        shapley([game], players, pairs, np.random.default_rng(0))
        assert sum(seen) == coalition_count(players, pairs)


GAMES = st.integers(1, 12).flatmap(
    lambda players: st.tuples(st.just(players), st.integers(0, 2**32 - 1), st.integers(1, 3))
)


@given(GAMES)
def test_all_that_is_won_is_shared_out(game: tuple[int, int, int]) -> None:
    """Efficiency: base and contributions are what all win together, whatever the game, drawn or enumerated."""
    players, seed, pairs = game
    generator = np.random.default_rng(seed)
    games = [partial(_rough, generator.normal(size=2**players)) for _ in range(3)]
    found, base = shapley(games, players, pairs, generator)
    everyone, nobody = np.ones((1, players), dtype=bool), np.zeros((1, players), dtype=bool)
    assert base == pytest.approx(np.mean([one(nobody)[0] for one in games]))
    assert base + found.sum() == pytest.approx(np.mean([one(everyone)[0] for one in games]))


@given(GAMES)
def test_a_dummy_gets_nothing_and_twins_the_same(game: tuple[int, int, int]) -> None:
    """Who adds nothing to anyone gets 0; whoever can stand in for each other get the same where all are asked."""
    players, seed, pairs = game
    worth = np.random.default_rng(seed).normal(size=2**players)

    def odd(kept: Array) -> Array:  # the last is a dummy, the two before it are twins
        return np.asarray(_rough(worth, kept[:, :players]) + kept[:, players] * kept[:, players + 1])

    found, _ = shapley([odd], players + 3, pairs, np.random.default_rng(seed))
    assert found[-1] == pytest.approx(0, abs=1e-12)
    assert found[-3] == pytest.approx(found[-2])
