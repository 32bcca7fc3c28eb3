"""Shapley values: what each player of a game contributes to what all of them win together.

A game is asked about coalitions. If the players are few, all coalitions are asked about; if not, players come in in
random orders, each order followed by its reverse, whose luck is the opposite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import factorial

import numpy as np

from tiltyard.arrays import Array

Game = Callable[[Array], Array]  # coalitions (coalitions, players), true or false, to what each of them wins

ENUMERATED = 256  # coalitions that are asked about, however few orders are wanted


def shapley(games: Sequence[Game], players: int, pairs: int, generator: np.random.Generator) -> tuple[Array, float]:
    """Return each player's contribution and what nobody wins, as means over the games; together they are what all win.

    `pairs` says how many orders, and as many reversed ones, are drawn for each game.
    """
    if enumerated(players, pairs):
        found = [_exact(game, players) for game in games]
    else:
        found = [_sampled(game, players, pairs, generator) for game in games]
    return np.mean([one for one, _ in found], axis=0), float(np.mean([base for _, base in found]))


def enumerated(players: int, pairs: int) -> bool:
    """Return whether all coalitions are asked about: they are few, or not more than those of so many orders."""
    return players < 20 and 2**players <= max(ENUMERATED, 2 * pairs * (players + 1))


def asked(players: int, pairs: int) -> int:
    """Return how many coalitions are asked about in each game."""
    return 2**players if enumerated(players, pairs) else 2 * pairs * (players + 1)


def mixed(row: Array, other: Array, spans: Sequence[slice], coalitions: Array) -> Array:
    """Return rows with the features of a coalition, and elsewhere the other row's."""
    chosen = np.zeros((len(coalitions), len(row)), dtype=bool)
    for place, span in enumerate(spans):
        chosen[:, span] = coalitions[:, [place]]
    return np.where(chosen, row, other)


def _exact(game: Game, players: int) -> tuple[Array, float]:
    """Weigh what a player adds to each coalition of others by how many orders have just those come before."""
    places = np.arange(2**players)
    coalitions = (places[:, None] >> np.arange(players)) & 1 == 1
    won, sizes = np.asarray(game(coalitions), dtype=np.float64), coalitions.sum(axis=1)
    weights = np.array([factorial(n) * factorial(players - n - 1) / factorial(players) for n in range(players)])
    found = np.zeros(players)
    for player in range(players):
        without = places[~coalitions[:, player]]
        found[player] = weights[sizes[without]] @ (won[without + 2**player] - won[without])
    return found, float(won[0])


def _sampled(game: Game, players: int, pairs: int, generator: np.random.Generator) -> tuple[Array, float]:
    """Let players come in one after the other, and see what each adds."""
    orders = [generator.permutation(players) for _ in range(pairs)]
    orders = [order for one in orders for order in (one, one[::-1])]
    ranks = np.argsort(orders, axis=1)  # when each player comes
    coalitions = ranks[:, None, :] < np.arange(players + 1)[:, None]
    won = np.asarray(game(coalitions.reshape(-1, players)), dtype=np.float64).reshape(len(orders), players + 1)
    added = np.diff(won, axis=1)
    return np.take_along_axis(added, ranks, axis=1).mean(axis=0), float(won[0, 0])
