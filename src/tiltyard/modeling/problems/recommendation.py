"""Recommendation: predict how a user rates an item, and find the items that a user will like.

The outputs of the ONNX model are, side by side: the rating, the vector of the user, and the vector of the item. The
rating is the product of both, so that all items are scored at once from their vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tiltyard.arrays import Array, Fitted
from tiltyard.errors import DataError
from tiltyard.modeling.problems.base import FittedEncoder, Target
from tiltyard.modeling.problems.regression import Regression
from tiltyard.settings import Bounds


class Recommendation(Regression):
    """One linear output; ratings are kept within the bounds of the target."""

    losses = {"linear": ("mse", "mae", "huber", "pseudo_huber")}  # noqa: RUF012 - as in the base class
    recommends = True

    def __init__(self, names: Sequence[str] = (), bounds: Bounds | None = None) -> None:
        super().__init__(names)
        self.bounds = bounds

    def fitted_to(self, target: Fitted) -> Recommendation:
        """Return the problem with the bounds of ratings."""
        return type(self)(bounds=target.get("bounds"))

    def fit(self, target: Target, truth: Array) -> Fitted:
        """Fit mean and scale of the ratings; keep what the service needs to know of users and items."""
        if target.interaction is None:
            raise DataError("target.interaction: expected the columns of user and item; received none")
        fitted = super().fit(target, truth)
        return {**fitted, "bounds": target.bounds, "interaction": target.interaction.model_dump()}

    def condense(self, encoder: FittedEncoder, truth: Array, outputs: Array) -> Array:
        """Return the ratings within their bounds."""
        return self.ratings(outputs)[:, None]

    def decode(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Return a rating for each instance."""
        values: list[Any] = self.ratings(outputs).tolist()
        return values

    def decode_arrays(self, outputs: Array, classes: list[str]) -> list[Array] | None:
        """Return the ratings."""
        return [self.ratings(outputs)]

    def ratings(self, outputs: Array) -> Array:
        """Return the ratings of outputs, within their bounds."""
        values = outputs[:, 0].astype(np.float64)
        return np.clip(values, *self.bounds) if self.bounds else values

    def purpose(self, target: Target) -> str:
        """Return a phrase such as: the rating `stars` that a `user` gives a `film`, and recommendations."""
        between = target.interaction
        who = f" that a `{between.user}` gives a `{between.item}`" if between else ""
        return f"the rating `{target.column}`{who}; it recommends and finds similar ones"

    def json_schema(self, target: Target) -> dict[str, Any]:
        """Return the schema: a number within the bounds."""
        low, high = target.bounds or (None, None)
        ends = {"minimum": low, "maximum": high}
        return {**super().json_schema(target), **{key: end for key, end in ends.items() if end is not None}}
