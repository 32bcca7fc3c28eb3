"""A network that was trained outside: checked against the prepared rows, and written as `train` writes its own.

Nobody here knows which rows it was trained with. So no seed is recorded, by which the gate's check of provenance holds
it; only a person who knows can promote it, by an override with a reason. See docs/decisions/own-models.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.errors import TrainingError
from tiltyard.modeling.models._own_code import unsuited
from tiltyard.modeling.models.python import Python
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training import layer_graph, network, train
from tiltyard.training.finish import with_threshold
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import keras

SUM_TOLERANCE = 1e-3  # of the probabilities of a row


def take(workspace: Workspace, task: Task, model: keras.Model) -> dict[str, Any]:
    """Check a network and write it as the challenger; return the record of its training, of which little is known."""
    from tiltyard.training.onnx.export import export

    _check_task(task)
    parts = TrainingRows.load(workspace.out(task.name, "prepare"))
    body = _Candidate(task, parts, model).checked()
    encoder, thresholds = with_threshold(task, parts, body)
    with files.atomic_folder(workspace.out(task.name, "train")) as folder:
        encoder.save(folder / "encoder.json")
        parity = export(body, folder, train.parity_rows(parts, body), sigmoid=task.output == "sigmoid")
        device = train.device()
        record = {
            "outside": {"keras": device["keras"], "steps": optimizer_steps(model)},
            **dict.fromkeys(("epochs", "best_epoch", "seed")),  # not known
            "stopped_early": False,
            "history": {},
            "parameters": body.count_params(),
            **({"thresholds": thresholds} if thresholds else {}),
            "prepared": parts.digest,
            "backend": device["backend"],
            "parity": parity,
        }
        files.write_json(folder / "training.json", record)
        files.write_json(folder / layer_graph.FILE, layer_graph.layer_graph(body))
        files.write_json(folder / "device.json", device)
    return record


def optimizer_steps(model: keras.Model) -> int:
    """Return how many steps the optimizer of a network has made; 0 if it was not trained, or loaded without it."""
    iterations = getattr(getattr(model, "optimizer", None), "iterations", None)
    return 0 if iterations is None else int(iterations)


def _check_task(task: Task) -> None:
    """Refuse tasks whose outputs are more than those of one layer."""
    reasons = {
        f"expected a problem among {', '.join(Python.problems)}; received {task.problem}": task.problem
        not in Python.problems,
        "target.interval: expected none, since it is computed in training": bool(task.target.interval),
        "evaluate.walk_forward: expected none, since it trains again": bool(task.evaluate.walk_forward),
    }
    for reason, holds in reasons.items():
        if holds:
            raise TrainingError(f"a network from outside: {reason}", hint=f"change tasks/{task.name}.yaml")


@dataclass(frozen=True)
class _Candidate:
    """A network with the task and the rows that it must fit."""

    task: Task
    parts: TrainingRows
    model: keras.Model

    def checked(self) -> keras.Model:
        """Return a copy with the input that is exported, whose outputs on validation rows are valid."""
        import keras

        if not isinstance(self.model, keras.Model):
            raise _error(f"expected a Keras model; received {type(self.model).__name__}", "pass the model itself")
        self._check_shapes()
        features = keras.Input(self.model.input_shape[1:], name="features")
        if reason := next(unsuited(keras.Model(features, self.model(features))), ""):
            raise _error(reason, "use layers of Keras and keras.ops")
        body = self._copy(features)
        self._check_outputs(network.outputs(body, train.parity_rows(self.parts, body)))
        return body

    def _copy(self, features: keras.KerasTensor) -> keras.Model:
        """Return a copy of the layers on another input, which has the weights and not the optimizer."""
        import keras

        if not hasattr(self.model, "layers") or not self.model.inputs:
            return keras.Model(features, self.model(features))
        copy = keras.models.clone_model(self.model, input_tensors=features)
        copy.set_weights(self.model.get_weights())
        return keras.Model(features, copy(features)) if isinstance(copy, keras.Sequential) else copy

    def _check_shapes(self) -> None:
        rows, units = self.parts.train[0].shape[1:], self._units
        for name, expected in (("input", tuple(rows)), ("output", (units,))):
            try:
                received = getattr(self.model, f"{name}_shape")
            except (AttributeError, ValueError):
                raise _error(f"expected a model that knows its {name}; received none", "call it once on rows") from None
            if not isinstance(received, tuple) or tuple(received[1:]) != expected:
                raise _error(
                    f"expected {name}s of shape (rows, {', '.join(map(str, expected))}) for {self.task.name}; "
                    f"received {received}",
                    hint="see what it reads and predicts: task.training_rows()",
                )

    @property
    def _units(self) -> int:
        return self.parts.encoder.problem.units(self.task.target, self.task.output, self.parts.encoder)

    def _check_outputs(self, outputs: Array) -> None:
        """Refuse values that are not finite, or no probabilities where these are expected."""
        if not np.isfinite(outputs).all():
            raise _error("expected finite outputs for validation rows; received NaN or infinity", "train it again")
        if not self.task.labels:
            return
        low, high = float(outputs.min()), float(outputs.max())
        sums = outputs.sum(axis=1)
        if low < 0 or high > 1 + SUM_TOLERANCE:
            text = f"expected probabilities; received outputs from {low:.4g} to {high:.4g} for validation rows"
            raise _error(text, f"end the model with activation={self.task.output!r}")
        if self.task.output == "softmax" and np.abs(sums - 1).max() > SUM_TOLERANCE:
            text = f"expected probabilities that sum to 1; received sums from {sums.min():.4g} to {sums.max():.4g}"
            raise _error(text, "end the model with activation='softmax'")


def _error(text: str, hint: str) -> TrainingError:
    return TrainingError(f"a network from outside: {text}", hint)
