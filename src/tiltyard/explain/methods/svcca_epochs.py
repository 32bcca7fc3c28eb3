"""SVCCA between epochs: when each layer converges to its final state."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.svcca import chance_level, mean_pool, svcca
from tiltyard.explain.methods.base import ExplainedModel, ExplanationMethod
from tiltyard.figures import Figure, lines
from tiltyard.preparation.training_rows import sample_rows

if TYPE_CHECKING:
    import keras

MAX_ROWS = 1000  # training rows: there must be many more rows than units
MAX_LAYERS = 8

Activations = dict[str, Array]  # by layer


class SvccaEpochs(ExplanationMethod):
    """Train the task once more with the same seed, and compare layers at some epochs with the final ones."""

    title: ClassVar = "SVCCA between epochs: when each layer converges"
    needs_keras: ClassVar = True
    slow: ClassVar = True

    def unsupported_reason(self, model: ExplainedModel) -> str:
        """Require hidden layers, and a training that can be repeated here."""
        if model.task.problem_type.targets == "text":
            return f"{model.task.name} predicts texts: its layers work step by step"
        if model.task.train.mixed_precision:
            return "it was trained in mixed precision, which is not repeated here"
        return "" if model.network_view.hidden else "the model has no hidden layer to follow"

    def of_model(self, model: ExplainedModel) -> Iterator[Figure]:
        """Yield a curve for each layer: its similarity to its final state."""
        features, _ = sample_rows(model.data.train, MAX_ROWS)
        by_epoch, best = _train_again(model, features)
        names = [[*best][place] for place in np.unique(np.linspace(0, len(best) - 1, MAX_LAYERS).astype(int))]
        epochs = np.array([*by_epoch])
        curves = {
            name: {"x": epochs, "y": [svcca(by_epoch[epoch][name], best[name]) for epoch in by_epoch]} for name in names
        }
        chance = max(chance_level(best[name], best[name], model.generator) for name in names)
        curves["chance"] = {"x": epochs[[0, -1]], "y": [chance, chance], "dashed": True}
        subject = "the first member" if model.task.train.members > 1 or model.task.ensemble else "the model"
        text = (
            f"SVCCA of each hidden layer of {subject}, on {len(features)} training rows, with the same layer in "
            "the kept model. A layer whose curve is close to 1 early changed little afterwards."
        )
        yield lines("SVCCA between epochs", text, ("epoch", "similarity to the kept model"), curves, log_x=True)


def _train_again(model: ExplainedModel, features: Array) -> tuple[dict[int, Activations], Activations]:
    """Train again; return activations after epochs 1, 2, 4, 8, ... and the last, and those of the kept weights."""
    from tiltyard.config.ensemble_section import member_tasks
    from tiltyard.explain.math.gradients import enable_determinism
    from tiltyard.training.fit import RunPaths, fit
    from tiltyard.training.member_rows import rows_by_member

    enable_determinism()
    model.task.model.inherit(model.workspace)
    by_epoch: dict[int, Activations] = {}
    weights: list[Array] = []

    def record_epoch(epoch: int, body: keras.Model) -> None:
        weights[:] = body.get_weights()  # the last epoch need not be the kept one
        if epoch & (epoch - 1) == 0:
            by_epoch[epoch] = _activations(model, body, features)

    with tempfile.TemporaryDirectory() as folder:
        paths = RunPaths(
            Path(folder) / "state", Path(folder) / "logs", f"{model.task.name} once more", show=record_epoch
        )
        rows = next(rows_by_member(model.task, model.data, len(member_tasks(model.task))))
        fitted = fit(model.task, rows, paths)
    best = _activations(model, fitted.body, features)
    fitted.body.set_weights(weights)
    return {**by_epoch, fitted.record["epochs"]: _activations(model, fitted.body, features)}, best


def _activations(model: ExplainedModel, body: keras.Model, features: Array) -> Activations:
    from tiltyard.explain.math.network_view import open_network

    view = open_network(body, labels=bool(model.task.labels))
    tensors = [layer.output for layer in view.hidden.values()]
    return dict(zip(view.hidden, map(mean_pool, view.activations(features, tensors)), strict=True))
