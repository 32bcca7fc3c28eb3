"""The verb train: fit the Keras model with early stopping and resume, then export it to ONNX, proven equal."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard import files, quiet
from tiltyard.column import Array
from tiltyard.encoder import Encoder
from tiltyard.errors import DataError, TrainingError
from tiltyard.prepare import Features, open_part
from tiltyard.task import Task
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import keras

    from tiltyard.resume import Resume

PARITY_ROWS = 256


@dataclass(frozen=True)
class Parts:
    """What training may see: never a test row."""

    encoder: Encoder
    train: tuple[Features, Array]
    validation: tuple[Features, Array]
    digest: str
    inherited: dict[str, Any]  # what the model takes from other trainings

    @classmethod
    def load(cls, folder: Path, inherited: dict[str, Any] | None = None) -> Parts:
        """Read what `prepare` made."""
        names = ("encoder.json", "train.npz", "validation.npz")
        for name in names:
            if not (folder / name).is_file():
                task = folder.parent.name
                raise DataError(f"no {name} for {task}: it is not prepared", hint=f"type: tiltyard prepare {task}")
        train, validation = (open_part(folder / name) for name in names[1:])
        digest = files.sha256(*(folder / name for name in names))
        return cls(Encoder.load(folder / names[0]), train, validation, digest, inherited or {})


def train(workspace: Workspace, task: Task) -> dict[str, Any]:
    """Train, export, and give the record of the training."""
    started = time.monotonic()
    parts = Parts.load(workspace.out(task.name, "prepare"), task.model.inherit(workspace))
    if task.train.batch_size > (rows := len(parts.train[0])):
        raise DataError(f"train.batch_size: expected 1 to {rows}, the training rows; received {task.train.batch_size}")
    with quiet.hushed():
        _set_up(task)
    from tiltyard import network
    from tiltyard.export import export

    body = network.core(task, parts.encoder, parts.train[0].shape[1:])
    resume = _fit(workspace, task, parts, body)
    for weight, best in zip(network.trainer(task, body).weights, resume.best, strict=True):
        weight.assign(best)
    model = network.inference(body, parts.encoder, _ends(task, parts, body))
    record = _record(task, body, resume) | parts.inherited
    with files.replacing_folder(workspace.out(task.name, "train")) as folder:
        parts.encoder.save(folder / "encoder.json")
        record["parity"] = export(model, folder, parts.validation[0][:PARITY_ROWS].astype(np.float32))
        files.write_json(folder / "training.json", record)
        files.write_json(folder / "device.json", {**device(), "seconds": round(time.monotonic() - started, 2)})
    shutil.rmtree(workspace.state(task.name, "train"), ignore_errors=True)
    return record


def _set_up(task: Task) -> None:
    """Choose backend, seeds and precision; must come before the first layer."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    keras.utils.set_random_seed(task.train.seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    keras.mixed_precision.set_global_policy("mixed_float16" if task.train.mixed_precision else "float32")


def _fit(workspace: Workspace, task: Task, parts: Parts, body: keras.Model) -> Resume:
    """Train until the epochs are over, patience is, or the loss is no number."""
    import keras

    from tiltyard import network
    from tiltyard.batches import Batches
    from tiltyard.resume import Resume
    from tiltyard.watch import Watch

    model = network.trainer(task, body)
    _compile(task, model, steps=-(-len(parts.train[0]) // task.train.batch_size))
    fingerprint = _fingerprint(task, parts, body)
    state = workspace.state(task.name, "train")
    others = _callbacks(task)
    resume = Resume(state / "state.npz", fingerprint, others)
    resume.restore(model)
    watch = Watch(task.name, workspace.logs(task.name) / fingerprint[:12], state / "progress.json", resume.epoch)
    if not resume.finished:
        features, truth = parts.train
        arrays = (features, network.targets(parts.encoder, truth), _weights(task, truth))
        batches = Batches(arrays, task.train.batch_size, task.train.seed)
        deal = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: batches.deal(epoch))
        later = (parts.validation[0], network.targets(parts.encoder, parts.validation[1]))
        try:
            model.fit(
                batches,
                validation_data=Batches(later, task.train.batch_size),
                epochs=task.train.epochs,
                initial_epoch=resume.epoch,
                callbacks=[deal, *others, watch, resume],
                shuffle=False,  # `deal` does it: Keras' own shuffling cannot be resumed
                verbose=0,
            )
        finally:
            watch.close()
    if watch.diverged:
        raise TrainingError(
            f"training diverged in epoch {watch.diverged}: expected a finite loss; received NaN or infinity",
            hint=f"lower train.learning_rate (now {task.train.learning_rate:g}) or set train.clip_norm",
        )
    return resume


def _ends(task: Task, parts: Parts, body: keras.Model) -> tuple[Array, Array] | None:
    """Learn from validation rows what a forecast may miss by, if the task asks for it."""
    from tiltyard import network
    from tiltyard.interval import ends

    if not task.target.interval:
        return None
    features, truth = parts.validation
    missed = network.targets(parts.encoder, truth).reshape(len(truth), -1) - body.predict(features[:], verbose=0)
    return ends(missed, task.target.interval)


def _compile(task: Task, model: keras.Model, steps: int) -> None:
    from tiltyard import network

    model.compile(
        optimizer=network.optimizer(task, steps),
        loss=task.loss,
        weighted_metrics=[],
        metrics=["accuracy"] if task.classes else [],
        jit_compile=task.train.jit,
        steps_per_execution=task.train.steps_per_execution,
    )


def _callbacks(task: Task) -> list[keras.callbacks.Callback]:
    """Give the callbacks that remember something from epoch to epoch."""
    import keras

    patience = task.train.patience
    stop = [keras.callbacks.EarlyStopping("val_loss", patience=patience)] if patience else []
    if task.train.schedule != "plateau":
        return stop
    wait = max(2, patience // 3) if patience else 5
    return [*stop, keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=wait)]


def _weights(task: Task, truth: Array) -> Array:
    """Give each row a weight: 1, or what makes every class count the same."""
    if task.train.class_weights == "none":
        return np.ones(len(truth), dtype=np.float32)
    counts = np.bincount(truth, minlength=len(task.classes))
    weights: Array = (len(truth) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[truth].astype(np.float32)
    return weights


def _fingerprint(task: Task, parts: Parts, body: keras.Model) -> str:
    """Name a training by all that decides its outcome, so that no other run's state is taken up."""
    import keras

    shapes = [tuple(weight.shape) for weight in body.weights]  # the code of a family may have changed
    given = f"{parts.digest} {parts.inherited} {shapes}"
    settings = f"{task.model.model_dump_json()} {task.train.model_dump_json()} {given}"
    return hashlib.sha256(f"{keras.__version__} {keras.backend.backend()} {settings}".encode()).hexdigest()


def _record(task: Task, body: keras.Model, resume: Resume) -> dict[str, Any]:
    return {
        "epochs": resume.epoch,
        "best_epoch": resume.best_epoch + 1,
        "stopped_early": resume.epoch < task.train.epochs,
        "parameters": body.count_params(),
        "seed": task.train.seed,
        "history": resume.history,
    }


def device() -> dict[str, str]:
    """Say what training ran on."""
    import keras

    backend = keras.backend.backend()
    names = keras.distribution.list_devices()
    kind = "gpu" if any("gpu" in str(name).lower() or "cuda" in str(name).lower() for name in names) else "cpu"
    return {"backend": backend, "device": kind, "devices": ", ".join(map(str, names)), "keras": keras.__version__}
