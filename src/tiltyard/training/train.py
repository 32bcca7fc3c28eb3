"""The command train: fit the Keras model with early stopping and resume, then export it to ONNX and compare."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.errors import DataError
from tiltyard.modeling.inference import held_out
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.models._solved import SolvedModel
from tiltyard.modeling.models.autoencoder import Autoencoder
from tiltyard.modeling.models.two_tower import TwoTower
from tiltyard.preparation import base_vocabulary
from tiltyard.preparation.base_rows import checked_base
from tiltyard.preparation.training_rows import TrainingRows, sample_rows, without_decoder_inputs
from tiltyard.runtime import environment
from tiltyard.training import backend, blend, item_index, layer_graph
from tiltyard.training.constant_baseline import baseline_losses
from tiltyard.training.cross_validation import cross_validate
from tiltyard.training.diagnosis import diagnose
from tiltyard.training.feature_network import copy_feature_network, open_feature_network
from tiltyard.training.finish import Finished, finish
from tiltyard.training.fit import RunPaths
from tiltyard.training.fit_members import fit_members
from tiltyard.training.objective import Objective
from tiltyard.training.reference import Trained, fit_reference
from tiltyard.training.restarts import fit_with_restarts
from tiltyard.training.samplers import base as samplers
from tiltyard.training.solved import fit_solved
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import keras

    from tiltyard.arrays import Array

PARITY_ROWS = 256


def train(workspace: Workspace, task: Task) -> dict[str, Any]:
    """Train and export; return the record of the training."""
    if backend.is_other_loaded(task):
        return backend.train_apart(workspace, task)
    started, processor_started = time.monotonic(), time.process_time()
    parts = opened(workspace, task)
    state = workspace.state(task.name, "train")
    paths = RunPaths(state, workspace.logs(task.name), task.name)
    folds = cross_validate(task, parts, paths) if task.train.folds else []
    finished = finish(task, parts, fit_all(task, parts, paths))
    with files.atomic_folder(workspace.out(task.name, "train")) as folder:
        finished.encoder.save(folder / "encoder.json")
        if folds:
            held_out.save(folder / "folds.npz", folds)
        record = _exported(task, parts, finished, folder)
        if isinstance(task.model, TwoTower):
            item_index.write(folder, workspace.out(task.name, "prepare"), task.model, parts)
        files.write_json(folder / "training.json", record)
        files.write_json(folder / layer_graph.FILE, layer_graph.layer_graph(finished.model))
        durations = {
            "seconds": round(time.monotonic() - started, 2),
            "processor_seconds": round(time.process_time() - processor_started, 2),
        }
        files.write_json(folder / "device.json", {**device(), **durations})
    shutil.rmtree(state, ignore_errors=True)
    return record


def _exported(task: Task, parts: TrainingRows, finished: Finished, folder: Path) -> dict[str, Any]:
    """Write the graphs as ONNX; return the record of the training with their parity."""
    from tiltyard.training.onnx import canonical
    from tiltyard.training.onnx.export import export, export_decoder

    model, encoder = finished.model, finished.encoder
    rows, floor = parity_rows(parts, model), _floor(task, encoder, model)
    record = {
        **finished.record,
        **parts.inherited,
        **({"thresholds": finished.thresholds} if finished.thresholds else {}),
        "prepared": parts.digest,
        "backend": backend.chosen(task),
        "parity": export(model, folder, rows, sigmoid=task.output == "sigmoid", floor=floor),
    }
    if "own_code" in parts.inherited:  # equal graphs of different code are different versions
        canonical.mark(folder / "model.onnx", code_sha256=parts.inherited["own_code"]["sha256"])
    if task.model.generates and parts.features:
        sampler, seed = samplers.open_sampler(task.model, encoder), task.train.seed
        codes = sampler.codes_to_compare(finished.body, seed)
        export_decoder(sampler.decoder(finished.body), folder, seed, codes)
        record["features"] = copy_feature_network(parts.feature_folder, folder)
    return record


def opened(workspace: Workspace, task: Task) -> TrainingRows:
    """Read the rows and configure Keras: backend, determinism and precision must be set before the first layer."""
    parts = TrainingRows.load(workspace.out(task.name, "prepare"), _inherited(workspace, task))
    base_vocabulary.check(workspace, task, parts.encoder)
    if task.train.batch_size > (rows := len(parts.train[0])):
        raise DataError(f"train.batch_size: expected 1 to {rows}, the training rows; received {task.train.batch_size}")
    with environment.suppress_native_output():
        _set_up(task)
    parts = parts.with_counts() if task.output == "exponential" else parts
    parts = parts.with_rows_as_truth() if task.model.reconstructs else parts
    if task.model.generates:
        features = open_feature_network(workspace, parts)
        parts = replace(samplers.training_rows(task.model, parts, task.train.seed), features=features)
    return parts.with_decoder_inputs() if task.model.translates else parts


def _inherited(workspace: Workspace, task: Task) -> dict[str, Any]:
    """Return the provenance of the base model, if there is one; its rows may not meet the sealed test rows."""
    inherited = task.model.inherit(workspace)
    if task.model.base_task:
        inherited["base"] |= checked_base(workspace, task)
    return inherited


def parity_rows(parts: TrainingRows, model: keras.Model) -> Array:
    """Return some validation rows as a client sends them, without decoder inputs."""
    rows = parts.validation[0][:PARITY_ROWS]
    return without_decoder_inputs(rows, model.input_shape[1:]).astype(np.float32)


def _set_up(task: Task) -> None:
    backend.load(task)
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    keras.mixed_precision.set_global_policy("mixed_float16" if task.train.mixed_precision else "float32")


def fit_all(task: Task, parts: TrainingRows, paths: RunPaths) -> Trained:
    """Fit a reference, a network, or both."""
    if task.model.cluster_count:
        from tiltyard.training import clustering

        return clustering.fit_clusters(task, parts, paths)
    if isinstance(task.model, SolvedModel):
        return Trained(*fit_solved(task, task.model, parts))
    if not task.model.trained_by_epochs:
        return fit_reference(task, parts)
    body, record = _fit_networks(task, parts, paths)
    return blend.blend(task, parts, body, record) if task.model.blend_references else Trained(body, record)


def _fit_networks(task: Task, parts: TrainingRows, paths: RunPaths) -> tuple[keras.Model, dict[str, Any]]:
    """Fit the network or all members of an ensemble."""
    if task.train.members == 1 and not task.ensemble:
        fitted = fit_with_restarts(task, parts, paths)
        if task.model.generates:
            return fitted.body, fitted.record
        losses = baseline_losses(Objective.of(task, parts.encoder), parts, fitted.body)
        diagnosis = diagnose(losses, fitted.record, fitted.snapshots)
        return fitted.body, {**fitted.record, "diagnosis": diagnosis, **_code_facts(task, parts, fitted.body)}
    members = fit_members(task, parts, paths)
    return members.body, members.record()


def _floor(task: Task, encoder: Encoder, model: keras.Model) -> Array | None:
    """Return below which size of each output differences are relative to it; None if all have one scale."""
    if task.problem == "anomaly":
        from tiltyard.training import anomaly

        return anomaly.floors(model.output_shape[-1], task.anomaly_score.score, encoder.target["threshold"])
    if task.model.generates:
        return samplers.open_sampler(task.model, encoder).floors()
    if task.model.cluster_count:
        from tiltyard.training import clustering

        return clustering.floors(task.model.cluster_count)
    if not isinstance(task.model, Autoencoder):
        return None
    from tiltyard.training import reconstruction

    return reconstruction.floors(model.output_shape[-1], task.model.code_size)


def _code_facts(task: Task, parts: TrainingRows, body: keras.Model) -> dict[str, Any]:
    """Return what is known of the codes of validation rows; nothing if there are none."""
    if not isinstance(task.model, Autoencoder):
        return {}
    from tiltyard.training import reconstruction

    return {"code": reconstruction.facts(task.model, body, sample_rows(parts.validation, reconstruction.ROWS)[0])}


def device() -> dict[str, str]:
    """Return the device and backend of the training."""
    import keras

    names = keras.distribution.list_devices()
    kind = "gpu" if any("gpu" in str(name).lower() or "cuda" in str(name).lower() for name in names) else "cpu"
    return {
        "backend": keras.backend.backend(),
        "device": kind,
        "devices": ", ".join(map(str, names)),
        "keras": keras.__version__,
    }
