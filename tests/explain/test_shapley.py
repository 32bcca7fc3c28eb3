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


def shapley_of_function(
    function: Callable[[Array], Array],
    row: Array = ROW,
    background: Array = BACKGROUND,
    spans: list[slice] | None = None,
    pairs: int = 1,
) -> tuple[Array, float]:
    """Return the Shapley values of a function of rows, against background rows."""
    spans = spans or [slice(i, i + 1) for i in range(len(row))]
    games = [
        partial(lambda other, coalition: function(mix_rows(row, other, spans, coalition)), other)
        for other in background
    ]
    return shapley(games, len(spans), pairs, np.random.default_rng(0))


def with_random_columns(values: Array, columns: int) -> Array:
    """Append random columns, so that orders are sampled instead of enumerating all coalitions."""
    return np.concatenate([values, np.random.default_rng(1).normal(size=(*values.shape[:-1], columns))], axis=-1)


def test_linear_function_matches_the_formula() -> None:
    """The values are w (x - mean of the background), and the base is the mean prediction."""
    weights = np.array([2.0, -1.0, 0.5, 0.0])
    contributions, base = shapley_of_function(lambda rows: rows @ weights + 7)
    assert contributions == pytest.approx(weights * (ROW - BACKGROUND.mean(axis=0)))
    assert base == pytest.approx(BACKGROUND.mean(axis=0) @ weights + 7)


def test_linear_function_of_many_columns_is_exact_with_one_pair() -> None:
    """With many columns, orders are sampled; for a linear function every order gives the same values."""
    row, background = with_random_columns(ROW, 30), with_random_columns(BACKGROUND, 30)
    assert not is_exact(len(row), 1)
    weights = np.random.default_rng(2).normal(size=len(row))
    contributions, _ = shapley_of_function(lambda rows: rows @ weights, row, background)
    assert contributions == pytest.approx(weights * (row - background.mean(axis=0)))


def test_interaction_is_split_evenly() -> None:
    """With a background of zeros, x1 times x2 is attributed to both by half; unused columns get zero."""
    contributions, base = shapley_of_function(lambda rows: rows[:, 0] * rows[:, 1], background=np.zeros((1, 4)))
    assert contributions == pytest.approx([-3.0, -3.0, 0.0, 0.0])
    assert base == 0


def test_interaction_of_two_is_exact_with_one_pair_of_orders() -> None:
    """In an order and its reverse each of the two comes first once, whatever the other columns."""
    contributions, _ = shapley_of_function(
        lambda rows: rows[:, 0] * rows[:, 1], with_random_columns(ROW, 30), np.zeros((1, 34))
    )
    assert contributions[:2] == pytest.approx([-3.0, -3.0])
    assert not contributions[2:].any()


def test_three_player_game_by_hand() -> None:
    """The first of three players needs one of the others: the six orders give 2/3, 1/6, 1/6."""
    contributions, base = shapley(
        [lambda coalition: coalition[:, 0] & (coalition[:, 1] | coalition[:, 2])], 3, 1, np.random.default_rng(0)
    )
    assert contributions == pytest.approx([2 / 3, 1 / 6, 1 / 6])
    assert base == 0


def test_one_hot_features_are_one_player() -> None:
    """All features of a span are kept or replaced together, and their joint effect is attributed to the column."""
    spans = [slice(0, 3), slice(3, 4)]
    contributions, base = shapley_of_function(lambda rows: rows[:, :3].prod(axis=1) + rows[:, 3], spans=spans)
    assert contributions.shape == (2,)
    assert contributions[0] == pytest.approx(ROW[:3].prod() - BACKGROUND[:, :3].prod(axis=1).mean())
    assert base + contributions.sum() == pytest.approx(ROW[:3].prod() + ROW[3])


def test_sampled_orders_approximate_the_exact_values() -> None:
    """The mean of many estimates equals the result of enumeration."""
    game = partial(_table_game, np.random.default_rng(3).normal(size=512))
    generator = np.random.default_rng(4)
    exact, _ = shapley([game], 9, 1000, generator)
    assert not is_exact(9, 20)
    estimate = np.mean([shapley([game], 9, 20, generator)[0] for _ in range(50)], axis=0)
    assert estimate == pytest.approx(exact, abs=0.1)


def _table_game(payoffs: Array, coalition: Array) -> Array:
    """Return the payoff of each coalition from a table."""
    values: Array = payoffs[coalition @ (1 << np.arange(coalition.shape[1]))]
    return values


def test_coalition_count_matches_the_evaluations() -> None:
    """The count can be used to limit requests."""
    for players, pairs in ((3, 2), (8, 1), (10, 4), (40, 2)):
        sizes: list[int] = []

        def game(coalition: Array, sizes: list[int] = sizes) -> Array:
            sizes.append(len(coalition))
            return np.asarray(coalition.sum(axis=1))

        shapley([game], players, pairs, np.random.default_rng(0))
        assert sum(sizes) == coalition_count(players, pairs)


GAMES = st.integers(1, 12).flatmap(
    lambda players: st.tuples(st.just(players), st.integers(0, 2**32 - 1), st.integers(1, 3))
)


@given(GAMES)
def test_values_add_up_to_the_total_payoff(game: tuple[int, int, int]) -> None:
    """Efficiency: base and contributions add up to the payoff of all players, for any game, sampled or enumerated."""
    players, seed, pairs = game
    generator = np.random.default_rng(seed)
    games = [partial(_table_game, generator.normal(size=2**players)) for _ in range(3)]
    contributions, base = shapley(games, players, pairs, generator)
    everyone, nobody = np.ones((1, players), dtype=bool), np.zeros((1, players), dtype=bool)
    assert base == pytest.approx(np.mean([one(nobody)[0] for one in games]))
    assert base + contributions.sum() == pytest.approx(np.mean([one(everyone)[0] for one in games]))


@given(GAMES)
def test_dummy_gets_zero_and_symmetric_players_the_same(game: tuple[int, int, int]) -> None:
    """A player without effect gets 0; interchangeable players get the same value if all orders are enumerated."""
    players, seed, pairs = game
    payoffs = np.random.default_rng(seed).normal(size=2**players)

    def game_with_dummy(coalition: Array) -> Array:  # the last player is a dummy, the two before it are symmetric
        return np.asarray(
            _table_game(payoffs, coalition[:, :players]) + coalition[:, players] * coalition[:, players + 1]
        )

    contributions, _ = shapley([game_with_dummy], players + 3, pairs, np.random.default_rng(seed))
    assert contributions[-1] == pytest.approx(0, abs=1e-12)
    assert contributions[-3] == pytest.approx(contributions[-2])
