"""Simple models of ratings: means of users and items, popularity, and neighbours of items.

Users and items are codes; 0 is one that no training row has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tiltyard.arrays import Array

ITEM_SHRINKAGE, USER_SHRINKAGE = 10, 15  # rows that an item or a user with a mean of 0 has in addition
ROUNDS = 10  # in which the means of items and of users are estimated in turn
SIMILARITY_SHRINKAGE = 20  # users who rated both, in addition, with a similarity of 0
NEIGHBOURS = 40  # rated items that a predicted rating is made of
MOST_ITEMS = 20_000  # of which all pairs fit into memory


@dataclass(frozen=True)
class Ratings:
    """Ratings of training rows by code, and how many codes there are, with 0."""

    user: Array
    item: Array
    rating: Array
    users: int
    items: int
    relevant: float

    @classmethod
    def of(cls, codes: Array, rating: Array, relevant: float, sizes: tuple[int, int] | None = None) -> Ratings:
        """Take the codes of users and items, one row each."""
        user, item = codes.astype(np.int64).T
        users, items = sizes or (int(user.max()) + 1, int(item.max()) + 1)
        return cls(user, item, rating.astype(np.float64), users, items, relevant)

    @cached_property
    def biases(self) -> tuple[float, Array, Array]:
        """Return the mean, and how far each user and each item is from it, shrunk towards 0 (Koren, 2010)."""
        mean, of_user, of_item = float(self.rating.mean()), np.zeros(self.users), np.zeros(self.items)
        for _ in range(ROUNDS):
            of_item = self._shrunk(self.item, self.rating - mean - of_user[self.user], self.items, ITEM_SHRINKAGE)
            of_user = self._shrunk(self.user, self.rating - mean - of_item[self.item], self.users, USER_SHRINKAGE)
        return mean, of_user, of_item

    @staticmethod
    def _shrunk(code: Array, values: Array, size: int, shrinkage: int) -> Array:
        return np.asarray(np.bincount(code, values, size) / (np.bincount(code, minlength=size) + shrinkage))

    def by_biases(self, user: Array, item: Array) -> Array:
        """Return the ratings by the means of user and item."""
        mean, of_user, of_item = self.biases
        return np.asarray(mean + of_user[user] + of_item[item])

    @cached_property
    def popularity(self) -> Array:
        """Return how many training rows each item has."""
        return np.bincount(self.item, minlength=self.items).astype(np.float64)


class ItemNeighbours:
    """Items are similar if the same users like them: the cosine of their columns of ratings, shrunk."""

    def __init__(self, ratings: Ratings) -> None:
        self.ratings = ratings
        liked = self._table(ratings.rating >= ratings.relevant)
        rest = ratings.rating - ratings.by_biases(ratings.user, ratings.item)
        self.liked, self.rest = liked, self._table(rest)
        self.rated = self._table(np.ones(len(rest)))
        self.likeness, self.agreement = (_shrunk_cosines(table, self.rated) for table in (liked, self.rest))

    def _table(self, values: Array) -> Array:
        table = np.zeros((self.ratings.users, self.ratings.items), dtype=np.float32)
        table[self.ratings.user, self.ratings.item] = values
        return table

    def scores(self, user: int) -> Array:
        """Return for all items how similar they are to those that the user likes."""
        return np.asarray(self.liked[user] @ self.likeness)

    def predicted(self, user: Array, item: Array) -> Array:
        """Return the ratings: that by means, and what the user's most similar items differ from it."""
        values = self.ratings.by_biases(user, item)
        for place, (who, what) in enumerate(zip(user.tolist(), item.tolist(), strict=True)):
            known = np.flatnonzero(self.rated[who])
            near = known[np.argsort(-self.agreement[what, known], kind="stable")[:NEIGHBOURS]]
            weight = np.maximum(self.agreement[what, near], 0)
            if (total := float(weight.sum())) > 0:
                values[place] += float(weight @ self.rest[who, near]) / total
        return values


def _shrunk_cosines(table: Array, rated: Array) -> Array:
    """Return the cosines of all pairs of columns, smaller for pairs that few users rated; 0 with itself."""
    lengths = np.linalg.norm(table, axis=0)
    scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    together = rated.T @ rated
    cosine = (table.T @ table) * scale[:, None] * scale * together / (together + SIMILARITY_SHRINKAGE)
    np.fill_diagonal(cosine, 0)
    return np.asarray(cosine)
