"""Vector index: the vectors of all users and items that training rows have, and what each user has rated.

Arrays are in order of the codes of identifiers; 0 is the unknown user or item. Users without a vector of their own get
one from their ratings (`fold_in`). The best items are chosen from them in recommender.py.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np

from tiltyard.arrays import Array
from tiltyard.errors import RegistryError
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.fold_in import Choice, Prior, rating_vector

FILE = "index.npz"


@dataclass(frozen=True)
class Layout:
    """How a vector is divided: numbers for the rating, its bias, numbers for the ranking, its bias."""

    factors: int
    ranks: bool  # whether the part of the ranking was learned; else items are ranked by rating

    @property
    def rating(self) -> slice:
        """The part of the rating."""
        return slice(0, self.factors)

    @property
    def ranking(self) -> slice:
        """The part of the ranking."""
        return slice(self.factors + 1, -1) if self.ranks else self.rating


@dataclass(frozen=True)
class VectorIndex:
    """The arrays of index.npz."""

    users: Array
    user_vectors: Array
    user_rows: Array  # how many training rows each has
    items: Array
    titles: Array
    item_vectors: Array
    item_rows: Array
    starts: Array  # of the items of each user in `rated`, and the end
    rated: Array  # codes of items in training and validation rows, user by user
    scale: Array  # mean and standard deviation of ratings, the lowest good one, the deviation of residuals
    layout_: Array  # numbers of the rating's part, and whether the ranking was learned

    @classmethod
    def load(cls, path: Path) -> VectorIndex:
        """Read the arrays, never objects, and check that they belong together."""
        try:
            _require_stored(path)
            with np.load(path, allow_pickle=False) as arrays:
                index = cls(**{field.name: arrays[field.name] for field in fields(cls)})
            index.check()
        except (ValueError, KeyError, OSError, EOFError, BadZipFile, MemoryError) as error:
            raise RegistryError(
                f"{path} is no vector index: {error}", hint="make it again: tiltyard train TASK"
            ) from None
        return index

    def check(self) -> None:
        """Raise ValueError if sizes or codes of arrays do not agree, or vectors are not finite."""
        users, items, width = len(self.users), len(self.items), self.user_vectors.shape[-1]
        expected = {
            "user_vectors": (users, width),
            "user_rows": (users,),
            "item_vectors": (items, width),
            "titles": (items,),
            "item_rows": (items,),
            "starts": (users + 1,),
            "scale": (4,),
            "layout_": (2,),
        }
        for name, shape in expected.items():
            if (received := getattr(self, name).shape) != shape:
                raise ValueError(f"{name}: expected the shape {shape}; received {received}")
        if not 0 < self.layout.factors < width or not min(users, items):
            raise ValueError("expected a user, an item, and vectors with a part for the rating")
        if not all(np.isfinite(numbers).all() for numbers in (self.user_vectors, self.item_vectors, self.scale)):
            raise ValueError("expected finite numbers")
        if self.starts[0] != 0 or self.starts[-1] != len(self.rated) or (np.diff(self.starts) < 0).any():
            raise ValueError("starts: expected rising places in `rated`")
        if len(self.rated) and not 0 <= self.rated.min() <= self.rated.max() < items:
            raise ValueError(f"rated: expected codes of items below {items}")

    def save(self, path: Path) -> None:
        """Write the arrays; NumPy's zip has no timestamps, so the same vectors give the same bytes."""
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **{field.name: getattr(self, field.name) for field in fields(self)})

    @property
    def layout(self) -> Layout:
        """How vectors are divided."""
        return Layout(int(self.layout_[0]), bool(self.layout_[1]))

    @cached_property
    def user_codes(self) -> dict[str, int]:
        """The code of each user."""
        return {name: code for code, name in enumerate(self.users.tolist()) if code}

    @cached_property
    def item_codes(self) -> dict[str, int]:
        """The code of each item."""
        return {name: code for code, name in enumerate(self.items.tolist()) if code}

    def rated_by(self, user: int) -> Array:
        """Return the items that a user has rated."""
        return np.asarray(self.rated[self.starts[user] : self.starts[user + 1]])

    def scores(self, vector: Array) -> Array:
        """Return the score of every item for a user's vector: the higher, the earlier it is recommended."""
        part = self.layout.ranking
        bias = self.item_vectors[:, part.stop if self.layout.ranks else self.layout.factors]
        return np.asarray(self.item_vectors[:, part] @ vector[part] + bias)

    def ratings(self, vector: Array, items: Array | list[int]) -> Array:
        """Return the rating of items for a user's vector."""
        (mean, std, *_), factors = self.scale, self.layout.factors
        chosen = self.item_vectors[items]
        product = chosen[:, :factors] @ vector[:factors] + chosen[:, factors] + vector[factors]
        return np.asarray(mean + std * product)

    def likeness(self, code: int, *, users: bool = False) -> Array:
        """Return the cosine of every item with one, or of every user; of their vectors of the ranking."""
        vectors = (self.user_vectors if users else self.item_vectors)[:, self.layout.ranking].astype(np.float64)
        return cosines(vectors, vectors[code])

    def fold_in(self, items: Array, ratings: Array) -> Array:
        """Return the vector of a user who has rated these items: the most probable one, given the vectors of others."""
        vector: Array = self.user_vectors[0].astype(np.float64)
        factors, good = self.layout.factors, ratings >= self.scale[2]
        vector[: factors + 1] = self._rating_part(items, ratings)
        if self.layout.ranks and good.any():
            vector[self.layout.ranking] = self._ranking_part(items[good])
        return vector

    @cached_property
    def _priors(self) -> tuple[Prior, Prior]:
        """What is known of the parts of a vector for the rating, with the bias, and for the ranking."""
        known = self.user_vectors[1:]
        return Prior.of(known[:, : self.layout.factors + 1]), Prior.of(known[:, self.layout.ranking])

    def _rating_part(self, items: Array, ratings: Array) -> Array:
        """Return the vector and the bias by Bayesian linear regression."""
        (mean, std, _, residual), factors = self.scale, self.layout.factors
        chosen = self.item_vectors[items].astype(np.float64)
        design = np.column_stack([chosen[:, :factors], np.ones(len(items))])
        return rating_vector(
            self._priors[0], design, (ratings - mean) / std - chosen[:, factors], float(residual / std) ** 2
        )

    def _ranking_part(self, liked: Array) -> Array:
        """Return the vector that makes the liked items likely choices."""
        vectors = self.item_vectors[1:].astype(np.float64)
        return Choice(self._priors[1], vectors[:, self.layout.ranking], vectors[:, -1], liked - 1).vector()


def _require_stored(path: Path) -> None:
    """Refuse compressed arrays, which may be a thousand times as large as the file; `save` compresses nothing."""
    with ZipFile(path) as file:
        if any(member.compress_type != ZIP_STORED for member in file.infolist()):
            raise ValueError("expected arrays that are not compressed")


def cosines(vectors: Array, vector: Array) -> Array:
    """Return the cosine of each vector with one; 0 for a vector without length."""
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(vector)
    return np.asarray(np.divide(vectors @ vector, lengths, out=np.zeros(len(vectors)), where=lengths > 0))


def codes(encoder: Encoder, features: Array) -> Array:
    """Return the codes of user and item of encoded rows."""
    between, spans = encoder.target["interaction"], encoder.spans
    return np.asarray(features[:, [spans[between["user"]].start, spans[between["item"]].start]].astype(np.int64))
