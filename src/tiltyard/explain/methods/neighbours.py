"""Neighbours: the items that the user of a row has rated and that are most like the item of the row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.explain.methods.base import ExplainedModel, ExplanationMethod, Row
from tiltyard.figures import Figure, table
from tiltyard.modeling.inference.vector_index import codes

SHOWN = 8  # rated items of a user


class Neighbours(ExplanationMethod):
    """Say why an item is rated or recommended as it is: by what the user has rated that is like it."""

    title: ClassVar = "neighbours: rated items that are like the item"

    def unsupported_reason(self, model: ExplainedModel) -> str:
        """Require a model that recommends."""
        return "" if model.predictor.index is not None else f"{model.task.name} does not recommend"

    def of_row(self, model: ExplainedModel, row: Row) -> Iterator[Figure]:
        """Yield the user's rated items by their likeness to the item, with the ratings that training rows have."""
        index, encoder = model.predictor.index, model.predictor.encoder
        if index is None:
            return
        user, item = codes(encoder, model.encode(row))[0].tolist()
        features, truth = model.data.train
        known = codes(encoder, features[:])
        rows = np.flatnonzero((known[:, 0] == user) & (known[:, 1] > 0))
        if not user or not item or not len(rows):
            who = "user" if not user else "item" if not item else "user's rated items"
            yield table("Rated items like it", f"The {who} is not known: there is nothing to compare with.", [])
            return
        likeness = index.likeness(item)[known[rows, 1]]
        order = np.argsort(-likeness, kind="stable")[:SHOWN]
        records = [
            {
                "rated item": str(index.titles[known[rows[place], 1]]),
                "rating": float(truth[rows[place]]),
                "cosine": float(likeness[place]),
            }
            for place in order.tolist()
        ]
        text = (
            f"The item is {index.titles[item]}. Of the {len(rows)} items that the user has rated in training rows, "
            "these are most like it, by the cosine of their vectors."
        )
        yield table("Rated items like it", text, records)
