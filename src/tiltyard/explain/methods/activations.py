"""Activations of the last hidden layer as points: by PCA, which is exact, and by t-SNE, which keeps neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.methods.base import Explained, Explanation
from tiltyard.figures import Figure, points

PERPLEXITY = 30.0  # neighbours that t-SNE keeps near; fewer of few rows
ROUNDS = 500  # of t-SNE
MIN_ROWS = 8  # rows that are worth drawing
QUARTERS = ("lowest quarter", "second quarter", "third quarter", "highest quarter")


class Activations(Explanation):
    """What the output layer has to tell rows apart by."""

    title: ClassVar = "how rows lie before the last layer"
    inward: ClassVar = True

    def reason(self, model: Explained) -> str:
        """Want a hidden layer, and a truth to group rows by."""
        if model.task.kind.targets == "text":
            return f"{model.task.name} is answered by a text, which is nothing to group rows by"
        if len(model.known[1]) < MIN_ROWS:
            return f"{len(model.known[1])} validation rows are too few to draw"
        return "" if model.inside.hidden else "the model has no hidden layer"

    def of_model(self, model: Explained) -> Iterator[Figure]:
        """Two pictures of the same rows."""
        from tiltyard.explain.math.svcca import pooled

        features, truth = model.known
        name, layer = [*model.inside.hidden.items()][-1]
        seen = pooled(model.inside.see(features, [layer.output])[0])
        groups = _groups(model, truth)
        flat, shares = principal(seen)
        by = "true label" if model.task.classes else "quarter of the truth"
        text = (
            f"{len(seen)} validation rows by their activations in {name}, grouped by {by}; both axes together hold "
            f"{shares.sum():.0%} of the variance."
        )
        yield _drawn("Activations by PCA", text, ("first direction", "second direction"), flat, groups)
        text = (
            f"The same rows by t-SNE: who is near whom is as in {name}; distances between groups and directions mean "
            "nothing."
        )
        yield _drawn("Activations by t-SNE", text, ("", ""), neighbours(seen, model.task.train.seed), groups)


def principal(seen: Array) -> tuple[Array, Array]:
    """Return the two coordinates along which rows differ most, and the share of the variance of each."""
    centred = seen - seen.mean(axis=0)
    left, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])  # else either sign would be right
    flat = (left * sizes * signs)[:, :2]
    shares = np.square(sizes[:2]) / (np.square(sizes).sum() or 1.0)
    missing = 2 - flat.shape[1]
    return np.pad(flat, ((0, 0), (0, missing))), shares


def neighbours(seen: Array, seed: int) -> Array:
    """Lay rows into a plane by t-SNE."""
    from sklearn.manifold import TSNE

    start, _ = principal(seen)
    start = (1e-4 * start / (start[:, 0].std() or 1.0)).astype(np.float32)
    perplexity = min(PERPLEXITY, (len(seen) - 1) / 3)
    found: Array = TSNE(perplexity=perplexity, init=start, random_state=seed, max_iter=ROUNDS).fit_transform(
        seen.astype(np.float32)
    )
    return found


def _groups(model: Explained, truth: Array) -> dict[str, Array]:
    """Return , by name, which rows belong to a group."""
    if model.task.classes:
        return {name: truth == place for place, name in enumerate(model.task.classes) if (truth == place).any()}
    values = truth.reshape(len(truth), -1)[:, 0]
    place = np.searchsorted(np.quantile(values, [0.25, 0.5, 0.75]), values)
    return {name: place == number for number, name in enumerate(QUARTERS) if (place == number).any()}


def _drawn(title: str, text: str, axes: tuple[str, str], flat: Array, groups: dict[str, Array]) -> Figure:
    return points(title, text, axes, {name: (flat[there, 0], flat[there, 1]) for name, there in groups.items()})
