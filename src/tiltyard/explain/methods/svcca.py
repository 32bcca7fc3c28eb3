"""SVCCA between layers: how similar their activations are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.explain.math.svcca import chance_level, mean_pool, svcca
from tiltyard.explain.methods.base import ExplainedModel, ExplanationMethod
from tiltyard.figures import Figure, matrix
from tiltyard.preparation.training_rows import sample_rows

MAX_ROWS = 1000  # training rows: there must be many more rows than units
MAX_LAYERS = 16


class Svcca(ExplanationMethod):
    """Compare each hidden layer with each other one, and with the scores."""

    title: ClassVar = "SVCCA: similarity of layers"
    needs_keras: ClassVar = True

    def unsupported_reason(self, model: ExplainedModel) -> str:
        """Require a hidden layer and a single output."""
        if model.task.problem_type.targets == "text":
            return f"{model.task.name} predicts texts: its layers work step by step"
        return "" if model.network_view.hidden else "the model has no hidden layer to compare"

    def of_model(self, model: ExplainedModel) -> Iterator[Figure]:
        """Yield the similarity matrix, with the chance level."""
        layers = model.network_view.hidden
        names = [[*layers][place] for place in np.unique(np.linspace(0, len(layers) - 1, MAX_LAYERS).astype(int))]
        features, _ = sample_rows(model.data.train, MAX_ROWS)
        tensors = [*(layers[name].output for name in names), model.network_view.scores]
        activations = [mean_pool(layer_values) for layer_values in model.network_view.activations(features, tensors)]
        names.append("scores" if model.task.labels else "number")
        values = np.array([[svcca(first, second) for second in activations] for first in activations])
        pairs = [(first, second) for place, first in enumerate(activations) for second in activations[:place]]
        chance = max(chance_level(first, second, model.generator) for first, second in pairs)
        text = (
            f"Mean canonical correlation of the layers' activations on {len(features)} training rows; feature maps "
            "and steps are averaged. 1 means that they are linearly related. The chance level is up to "
            f"{chance:.2f}."
        )
        yield matrix("SVCCA between layers", text, ("layer", "layer"), (names, names), values)
