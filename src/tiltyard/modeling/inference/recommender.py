"""Recommender: items for a user, items like an item, users like a user, from a vector index.

Every answer is in a fixed order: of equal scores, the item or user with more training rows comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.inference.vector_index import VectorIndex
from tiltyard.settings import Bounds

Basis = Literal["user", "ratings", "popularity"]  # what recommendations are made of
FEWEST = 5  # training rows of a user or an item whose vector says enough to call it similar
NUMBERS_A_SECOND = 1e8  # of vectors that are multiplied, at least
SECONDS_AN_ID = 2e-7  # to sort scores, and to compare names


@dataclass(frozen=True)
class Recommender:
    """A vector index, and the bounds of ratings."""

    index: VectorIndex
    bounds: Bounds | None = None

    def seconds(self, *, users: bool = False, folded: int = 0) -> float:
        """Estimate the seconds of an answer; `folded`: how many ratings give an unknown user a vector."""
        index = self.index
        ids, width = len(index.users if users else index.items), int(index.item_vectors.shape[1])
        steps = 1 + (width + 2) * 12 * bool(folded)
        return ids * width * steps / NUMBERS_A_SECOND + ids * SECONDS_AN_ID + folded * width**2 / NUMBERS_A_SECOND

    def for_user(self, user: str | None, k: int, exclude: Array, *, seen: bool = False) -> tuple[list[Any], Basis]:
        """Return the items to recommend to a user; the most popular ones if the user is not known.

        Items that the user has rated are left out unless `seen` is true.
        """
        index, code = self.index, self.index.user_codes.get(user or "", 0)
        if not code:
            return self._listed(index.item_rows.astype(np.float64), index.user_vectors[0], exclude, k), "popularity"
        hidden = exclude if seen else np.concatenate([exclude, index.rated_by(code)])
        vector = index.user_vectors[code]
        return self._listed(index.scores(vector), vector, hidden, k), "user"

    def for_ratings(self, items: Array, ratings: Array, k: int, exclude: Array) -> tuple[list[Any], Basis]:
        """Return the items to recommend to somebody who has rated these items."""
        vector = self.index.fold_in(items, ratings)
        return self._listed(self.index.scores(vector), vector, np.concatenate([exclude, items]), k), "ratings"

    def _listed(self, scores: Array, vector: Array, hidden: Array, k: int) -> list[dict[str, Any]]:
        index, chosen = self.index, best(scores, hidden, k)
        ratings = index.ratings(vector, chosen).astype(np.float64)
        ratings = np.clip(ratings, *self.bounds) if self.bounds else ratings
        names = (index.items[chosen].tolist(), index.titles[chosen].tolist())
        columns = zip(*names, scores[chosen].astype(np.float64).tolist(), ratings.tolist(), strict=True)
        return [dict(zip(("item", "title", "score", "rating"), row, strict=True)) for row in columns]

    def like_item(self, code: int, k: int, exclude: Array) -> list[dict[str, Any]]:
        """Return the items whose vectors have the largest cosines with that of an item."""
        index, scores = self.index, self.index.likeness(code)
        chosen = best(scores, np.concatenate([exclude, [code], _rare(index.item_rows)]), k)
        columns = (index.items, index.titles, scores.astype(np.float64), index.item_rows)
        return _records(("item", "title", "cosine", "ratings"), columns, chosen)

    def like_user(self, code: int, k: int, exclude: Array) -> list[dict[str, Any]]:
        """Return the users whose vectors have the largest cosines with that of a user."""
        index, scores = self.index, self.index.likeness(code, users=True)
        chosen = best(scores, np.concatenate([exclude, [code], _rare(index.user_rows)]), k)
        columns = (index.users, scores.astype(np.float64), index.user_rows)
        return _records(("user", "cosine", "ratings"), columns, chosen)

    def find(self, text: str, k: int, *, users: bool = False) -> list[dict[str, Any]]:
        """Return the items whose title or identifier holds a text, or the users; those with the most rows first."""
        index = self.index
        wanted, found = text.casefold(), list[int]()
        names = index.users if users else index.titles
        ids = index.users if users else index.items
        for code, (name, identifier) in enumerate(zip(names.tolist(), ids.tolist(), strict=True)):
            if code and (wanted in name.casefold() or wanted == identifier.casefold()):
                found.append(code)
                if len(found) == k:
                    break
        if users:
            return _records(("user", "ratings"), (index.users, index.user_rows), np.array(found, dtype=np.int64))
        columns = (index.items, index.titles, index.item_rows)
        return _records(("item", "title", "ratings"), columns, np.array(found, dtype=np.int64))


def best(scores: Array, hidden: Array, k: int) -> Array:
    """Return the codes with the highest scores that are not hidden, the highest first; 0 is no user or item."""
    values = scores.astype(np.float64)
    values[hidden.astype(np.int64)] = values[0] = -np.inf
    order = np.argsort(-values, kind="stable")[:k]
    return np.asarray(order[np.isfinite(values[order])])


def _rare(rows: Array) -> Array:
    """Return the codes with too few training rows; none if all have."""
    rare = np.flatnonzero(rows < FEWEST)
    return rare if len(rare) < len(rows) else np.empty(0, dtype=np.int64)


def _records(names: tuple[str, ...], columns: tuple[Array, ...], chosen: Array) -> list[dict[str, Any]]:
    values = zip(*(column[chosen].tolist() for column in columns), strict=True)
    return [dict(zip(names, row, strict=True)) for row in values]
