"""SVCCA between layers: which of them hold the same, and where the network turns it into something else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.explain.math.svcca import chance, pooled, svcca
from tiltyard.explain.methods.base import Explained, Explanation
from tiltyard.figures import Figure, matrix
from tiltyard.preparation.training_rows import sample_rows

ROWS = 1000  # of the training part: there must be many more than units
LAYERS = 16  # that are shown


class Svcca(Explanation):
    """Each hidden layer beside each other, and beside the scores."""

    title: ClassVar = "which layers hold the same"
    inward: ClassVar = True

    def reason(self, model: Explained) -> str:
        """Want two layers and one answer."""
        if model.task.kind.targets == "text":
            return f"{model.task.name} is answered by a text: its layers work step by step"
        return "" if model.inside.hidden else "the model has no hidden layer to compare"

    def of_model(self, model: Explained) -> Iterator[Figure]:
        """The matrix, and what chance alone would give."""
        layers = model.inside.hidden
        names = [[*layers][place] for place in np.unique(np.linspace(0, len(layers) - 1, LAYERS).astype(int))]
        features, _ = sample_rows(model.parts.train, ROWS)
        tensors = [*(layers[name].output for name in names), model.inside.scores]
        seen = [pooled(one) for one in model.inside.see(features, tensors)]
        names.append("scores" if model.task.classes else "number")
        values = np.array([[svcca(one, other) for other in seen] for one in seen])
        pairs = [(one, other) for place, one in enumerate(seen) for other in seen[:place]]
        floor = max(chance(one, other, model.generator) for one, other in pairs)
        text = (
            f"Mean canonical correlation of the layers' activations on {len(features)} training rows; maps and "
            "steps count by their mean. 1: a linear map leads from one to the other. Chance alone gives up to "
            f"{floor:.2f}."
        )
        yield matrix("SVCCA between layers", text, ("layer", "layer"), (names, names), values)
