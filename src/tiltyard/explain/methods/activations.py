"""Activations of the last hidden layer in two dimensions: by PCA and by t-SNE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.methods.base import ExplainedModel, ExplanationMethod
from tiltyard.figures import Figure, points

PERPLEXITY = 30.0  # of t-SNE; lower for few rows
ITERATIONS = 500  # of t-SNE
MIN_ROWS = 8  # for a plot
QUARTERS = ("lowest quarter", "second quarter", "third quarter", "highest quarter")


class Activations(ExplanationMethod):
    """Show which rows the last hidden layer separates."""

    title: ClassVar = "activations of the last hidden layer, by PCA and t-SNE"
    needs_keras: ClassVar = True

    def unsupported_reason(self, model: ExplainedModel) -> str:
        """Require a hidden layer, and a truth to group rows by."""
        if model.task.problem_type.targets == "text":
            return f"{model.task.name} predicts texts, which cannot group rows"
        if model.task.problem == "multilabel":
            return f"rows of {model.task.name} may have several labels, which cannot group them"
        if model.task.target.columns:
            return f"rows of {model.task.name} have several numbers, by which they cannot be grouped at once"
        if len(model.validation[1]) < MIN_ROWS:
            return f"{len(model.validation[1])} validation rows are too few for a plot"
        return "" if model.network_view.hidden else "the model has no hidden layer"

    def of_model(self, model: ExplainedModel) -> Iterator[Figure]:
        """Yield two plots of the same rows."""
        from tiltyard.explain.math.svcca import mean_pool

        features, truth = model.validation
        name, layer = [*model.network_view.hidden.items()][-1]
        activations = mean_pool(model.network_view.activations(features, [layer.output])[0])
        groups = _groups(model, truth)
        flat, shares = principal(activations)
        by = "true label" if model.task.classes else "quartile of the truth"
        text = (
            f"{len(activations)} validation rows by their activations in {name}, grouped by {by}; both axes "
            f"together explain {shares.sum():.0%} of the variance."
        )
        yield _scatter_plot("Activations by PCA", text, ("first direction", "second direction"), flat, groups)
        text = (
            f"The same rows by t-SNE: near neighbours in {name} stay near each other; directions and distances "
            "between groups mean nothing."
        )
        yield _scatter_plot(
            "Activations by t-SNE", text, ("", ""), neighbours(activations, model.task.train.seed), groups
        )


def principal(activations: Array) -> tuple[Array, Array]:
    """Return the first two principal components of each row, and their shares of the variance."""
    centred = activations - activations.mean(axis=0)
    vectors, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])  # fixes the sign, which is arbitrary
    flat = (vectors * sizes * signs)[:, :2]
    shares = np.square(sizes[:2]) / (np.square(sizes).sum() or 1.0)
    missing = 2 - flat.shape[1]
    return np.pad(flat, ((0, 0), (0, missing))), shares


def neighbours(activations: Array, seed: int) -> Array:
    """Embed rows in two dimensions by t-SNE."""
    from sklearn.manifold import TSNE

    start, _ = principal(activations)
    start = (1e-4 * start / (start[:, 0].std() or 1.0)).astype(np.float32)
    perplexity = min(PERPLEXITY, (len(activations) - 1) / 3)
    embedded: Array = TSNE(perplexity=perplexity, init=start, random_state=seed, max_iter=ITERATIONS).fit_transform(
        activations.astype(np.float32)
    )
    return embedded


def _groups(model: ExplainedModel, truth: Array) -> dict[str, Array]:
    """Return for each group name a mask of its rows."""
    if model.task.classes:
        return {name: truth == place for place, name in enumerate(model.task.classes) if (truth == place).any()}
    values = truth.reshape(len(truth), -1)[:, 0]
    place = np.searchsorted(np.quantile(values, [0.25, 0.5, 0.75]), values)
    return {name: place == number for number, name in enumerate(QUARTERS) if (place == number).any()}


def _scatter_plot(title: str, text: str, axes: tuple[str, str], flat: Array, groups: dict[str, Array]) -> Figure:
    return points(title, text, axes, {name: (flat[places, 0], flat[places, 1]) for name, places in groups.items()})
