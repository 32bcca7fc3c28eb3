"""Refinement of clusters of codes (DEC): memberships become sharper; the reconstruction keeps codes meaningful."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.errors import TrainingError
from tiltyard.files import Json
from tiltyard.modeling.models.autoencoder import CODE
from tiltyard.modeling.models.deep_clustering import DeepClustering, Refinement
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.runtime import progress
from tiltyard.training import network
from tiltyard.training.batches import Batches
from tiltyard.training.fit import RunPaths
from tiltyard.training.reconstruction import STANDARD

SMALLEST = 1e-7  # membership of which a logarithm is taken


def code_model(body: keras.Model) -> keras.Model:
    """Return the part of an autoencoder up to its code."""
    return keras.Model(body.input, body.get_layer(CODE).output)


class Memberships(keras.layers.Layer):  # type: ignore[misc]
    """Memberships of codes in clusters, by Student's t distribution; the centres are learned."""

    def __init__(self, centres: Array) -> None:
        super().__init__(dtype="float32", name="memberships")
        self.start = centres

    def build(self, input_shape: Any) -> None:  # noqa: D102 - Keras' own
        initial = keras.initializers.Constant(self.start)
        self.centres = self.add_weight(shape=self.start.shape, initializer=initial, name="centres")

    def call(self, codes: Any) -> Any:  # noqa: D102 - Keras' own
        squares = ops.sum(ops.square(codes[:, None, :] - self.centres), axis=-1)
        kernel = 1.0 / (1.0 + squares)
        return kernel / ops.sum(kernel, axis=-1, keepdims=True)


class RefinementTrainer(keras.Model):  # type: ignore[misc]
    """A model whose outputs are the error of the reconstruction and the memberships; targets are sharper ones."""

    settings: Refinement

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the divergence of memberships from the targets, plus the error of the reconstruction."""
        members = ops.clip(y_pred[:, 1:], SMALLEST, 1.0)
        divergence = ops.mean(ops.sum(y * (ops.log(ops.clip(y, SMALLEST, 1.0)) - ops.log(members)), axis=-1))
        return self.settings.weight * divergence + self.settings.reconstruction * ops.mean(y_pred[:, 0])


def sharper(members: Array) -> Array:
    """Return the target distribution of DEC: squared memberships, divided by the size of each cluster."""
    weights = np.square(members, dtype=np.float64) / np.maximum(members.sum(axis=0, dtype=np.float64), SMALLEST)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def refine(
    task: Task, model: DeepClustering, parts: TrainingRows, paths: RunPaths, start: tuple[keras.Model, Array]
) -> tuple[Array, Json]:
    """Refine an autoencoder and the centres of its codes; return the centres, and the record."""
    settings, (body, centres) = model.refine, start
    if not settings.epochs:
        return centres, {}
    trainer = _trainer(body, centres, settings)
    path, fingerprint = paths.state / "refinement.npz", _fingerprint(task, parts)
    history = _restored(path, fingerprint, trainer)
    features = parts.train[0]
    members = _members(trainer, features)
    with progress.progress_bar(f"{paths.title} refinement", settings.epochs, len(history["loss"]), "epochs") as show:
        for epoch in range(len(history["loss"]), settings.epochs):
            if _is_settled(history, settings):
                break
            batches = Batches((features, sharper(members)), task.train.batch_size, task.train.seed)
            batches.deal(epoch)
            losses = [float(trainer.train_on_batch(*batches[place])) for place in range(len(batches))]
            after = _members(trainer, features)
            _refuse_diverged(epoch, losses[-1], after, settings)
            history["loss"].append(float(np.mean(losses)))
            history["changed"].append(float(np.mean(members.argmax(axis=1) != after.argmax(axis=1))))
            members = after
            _save(path, fingerprint, trainer, history)
            show(epoch + 1)
    (centres,) = trainer.get_layer("memberships").get_weights()
    return centres, {"refinement": history}


def _trainer(body: keras.Model, centres: Array, settings: Refinement) -> RefinementTrainer:
    code, standard = body.get_layer(CODE).output, keras.layers.Flatten()(body.get_layer(STANDARD).output)
    error = ops.mean(ops.square(body.output - standard), axis=-1, keepdims=True)
    trainer = RefinementTrainer(body.input, ops.concatenate([error, Memberships(centres)(code)], axis=-1))
    trainer.settings = settings
    trainer.compile(keras.optimizers.Adam(settings.learning_rate))
    trainer.optimizer.build(trainer.trainable_variables)
    return trainer


def _members(trainer: keras.Model, features: Any) -> Array:
    return network.outputs(trainer, features)[:, 1:]


def _is_settled(history: dict[str, list[float]], settings: Refinement) -> bool:
    return bool(history["changed"]) and history["changed"][-1] < settings.tolerance


def _refuse_diverged(epoch: int, loss: float, members: Array, settings: Refinement) -> None:
    if math.isfinite(loss) and np.isfinite(members).all():
        return
    raise TrainingError(
        f"refinement diverged in epoch {epoch + 1}: expected a finite loss; received NaN or infinity",
        hint=f"lower model.refine.learning_rate (now {settings.learning_rate:g})",
    )


def _fingerprint(task: Task, parts: TrainingRows) -> str:
    settings = [task.model.model_dump_json(), task.train.model_dump_json(), parts.digest, keras.__version__]
    return hashlib.sha256(json.dumps([*settings, keras.backend.backend()]).encode()).hexdigest()


def _variables(trainer: keras.Model) -> list[Any]:
    return [*trainer.variables, *trainer.optimizer.variables]


def _save(path: Path, fingerprint: str, trainer: keras.Model, history: dict[str, list[float]]) -> None:
    arrays = {f"now{place}": np.array(variable) for place, variable in enumerate(_variables(trainer))}
    facts = np.array(json.dumps({"fingerprint": fingerprint, "history": history}))
    with files.atomic_file(path) as temporary:
        np.savez(temporary, allow_pickle=False, facts=facts, **arrays)


def _restored(path: Path, fingerprint: str, trainer: keras.Model) -> dict[str, list[float]]:
    """Load the state of an interrupted refinement with the same fingerprint, if there is one; return its figures."""
    history: dict[str, list[float]] = {"loss": [], "changed": []}
    if not path.is_file():
        return history
    with np.load(path, allow_pickle=False) as arrays:
        facts = json.loads(str(arrays["facts"]))
        if facts["fingerprint"] != fingerprint:
            return history
        for place, variable in enumerate(_variables(trainer)):
            variable.assign(arrays[f"now{place}"])
    found: dict[str, list[float]] = facts["history"]
    return found
