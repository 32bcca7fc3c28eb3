"""Shapley values: the contribution of each player to the value of a coalition game.

With few players all coalitions are evaluated (exact). Otherwise random permutations are sampled, each together with
its reverse (antithetic sampling).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import factorial

import numpy as np

from tiltyard.arrays import Array

Game = Callable[[Array], Array]  # from coalitions (coalitions, players), boolean, to the value of each

MAX_ENUMERATED = 256  # coalitions that are enumerated even if fewer would be sampled


def shapley(games: Sequence[Game], players: int, pairs: int, generator: np.random.Generator) -> tuple[Array, float]:
    """Return each player's contribution and the empty coalition's value, as means over the games.

    Together they add up to the value of the full coalition. `pairs` is the number of permutations, each with its
    reverse, that are sampled for each game.
    """
    if is_exact(players, pairs):
        solved = [_exact(game, players) for game in games]
    else:
        solved = [_sampled(game, players, pairs, generator) for game in games]
    return np.mean([contributions for contributions, _ in solved], axis=0), float(np.mean([base for _, base in solved]))


def is_exact(players: int, pairs: int) -> bool:
    """Return whether all coalitions are evaluated: because they are few, or no more than sampling would evaluate."""
    return players < 20 and 2**players <= max(MAX_ENUMERATED, 2 * pairs * (players + 1))


def coalition_count(players: int, pairs: int) -> int:
    """Return how many coalitions are evaluated in each game."""
    return 2**players if is_exact(players, pairs) else 2 * pairs * (players + 1)


def mix_rows(row: Array, background: Array, spans: Sequence[slice], coalitions: Array) -> Array:
    """Return rows with a coalition's features from one row and all others from the other row."""
    from_row = np.zeros((len(coalitions), len(row)), dtype=bool)
    for place, span in enumerate(spans):
        from_row[:, span] = coalitions[:, [place]]
    return np.where(from_row, row, background)


def _exact(game: Game, players: int) -> tuple[Array, float]:
    """Weight each marginal contribution by the share of permutations in which it occurs."""
    places = np.arange(2**players)
    coalitions = (places[:, None] >> np.arange(players)) & 1 == 1
    values, sizes = np.asarray(game(coalitions), dtype=np.float64), coalitions.sum(axis=1)
    weights = np.array([factorial(n) * factorial(players - n - 1) / factorial(players) for n in range(players)])
    contributions = np.zeros(players)
    for player in range(players):
        without = places[~coalitions[:, player]]
        contributions[player] = weights[sizes[without]] @ (values[without + 2**player] - values[without])
    return contributions, float(values[0])


def _sampled(game: Game, players: int, pairs: int, generator: np.random.Generator) -> tuple[Array, float]:
    """Average marginal contributions over sampled permutations."""
    permutations = [generator.permutation(players) for _ in range(pairs)]
    permutations = [permutation for forward in permutations for permutation in (forward, forward[::-1])]
    ranks = np.argsort(permutations, axis=1)  # position of each player in each permutation
    coalitions = ranks[:, None, :] < np.arange(players + 1)[:, None]
    values = np.asarray(game(coalitions.reshape(-1, players)), dtype=np.float64).reshape(len(permutations), players + 1)
    added = np.diff(values, axis=1)
    return np.take_along_axis(added, ranks, axis=1).mean(axis=0), float(values[0, 0])
