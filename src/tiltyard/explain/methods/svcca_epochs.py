"""SVCCA between epochs: when each layer becomes what it is in the end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.svcca import chance, pooled, svcca
from tiltyard.explain.methods.base import Explained, Explanation
from tiltyard.figures import Figure, lines
from tiltyard.preparation.training_rows import sample_rows

if TYPE_CHECKING:
    import keras

ROWS = 1000  # of the training part: there must be many more than units
LAYERS = 8  # that are shown

Seen = dict[str, Array]  # activations by layer


class SvccaEpochs(Explanation):
    """The task is trained once more, with the same seed, and looked at on the way."""

    title: ClassVar = "when each layer is done learning"
    inward: ClassVar = True
    slow: ClassVar = True

    def reason(self, model: Explained) -> str:
        """Want hidden layers, and a training that can be repeated here."""
        if model.task.kind.targets == "text":
            return f"{model.task.name} is answered by a text: its layers work step by step"
        if model.task.train.mixed_precision:
            return "it was trained in 16 bits, which is not repeated here"
        return "" if model.inside.hidden else "the model has no hidden layer to follow"

    def of_model(self, model: Explained) -> Iterator[Figure]:
        """A curve a layer: how alike it is to its final self."""
        features, _ = sample_rows(model.parts.train, ROWS)
        looks, kept = _trained(model, features)
        names = [[*kept][place] for place in np.unique(np.linspace(0, len(kept) - 1, LAYERS).astype(int))]
        epochs = np.array([*looks])
        curves = {name: {"x": epochs, "y": [svcca(looks[one][name], kept[name]) for one in looks]} for name in names}
        floor = max(chance(kept[name], kept[name], model.generator) for name in names)
        curves["chance"] = {"x": epochs[[0, -1]], "y": [floor, floor], "dashed": True}
        which = "the first member" if model.task.train.members > 1 else "the model"
        text = (
            f"SVCCA of each hidden layer of {which}, on {len(features)} training rows, with the same layer as it is "
            "kept in the end. A curve that is near 1 early is a layer that learned little later."
        )
        yield lines("SVCCA between epochs", text, ("epoch", "likeness to its final self"), curves, log_x=True)


def _trained(model: Explained, features: Array) -> tuple[dict[int, Seen], Seen]:
    """Train anew; give what was seen after the 1st, 2nd, 4th, 8th epoch and so on, and at the end."""
    from tiltyard.explain.math.gradients import steady
    from tiltyard.training.fit import RunPaths, fit

    steady()
    model.task.model.inherit(model.workspace)
    looks: dict[int, Seen] = {}
    weights: list[Array] = []

    def show(epoch: int, body: keras.Model) -> None:
        weights[:] = body.get_weights()  # those of the last epoch need not be those that are kept
        if epoch & (epoch - 1) == 0:
            looks[epoch] = _seen(model, body, features)

    with tempfile.TemporaryDirectory() as folder:
        place = RunPaths(Path(folder) / "state", Path(folder) / "logs", f"{model.task.name} once more", show=show)
        fitted = fit(model.task, model.parts, place)
    kept = _seen(model, fitted.body, features)
    fitted.body.set_weights(weights)
    return {**looks, fitted.record["epochs"]: _seen(model, fitted.body, features)}, kept


def _seen(model: Explained, body: keras.Model, features: Array) -> Seen:
    from tiltyard.explain.math.network_view import opened

    inside = opened(body, labels=bool(model.task.classes))
    tensors = [one.output for one in inside.hidden.values()]
    return dict(zip(inside.hidden, map(pooled, inside.see(features, tensors)), strict=True))
