"""Train a variant of a task and score it on the validation rows; test rows are never read."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.errors import TiltyardError
from tiltyard.modeling.metrics.base import Context
from tiltyard.preparation.array_file import Features
from tiltyard.preparation.training_rows import TrainingRows, sample_rows, without_decoder_inputs
from tiltyard.training import backend
from tiltyard.training.cross_validation import fold_parts
from tiltyard.training.fit import RunPaths
from tiltyard.training.train import fit_all, opened
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import keras


MIN_VALIDATION_ROWS = 1000  # if there are as many: fewer resolve accuracy too coarsely


@dataclass(frozen=True)
class TrialResult:
    """The result of a trial. `value` is the gate's metric on the validation rows; None if training failed."""

    value: float | None = None
    val_loss: float | None = None  # of the kept epoch; breaks ties of the metric
    epochs: int = 0
    best_epoch: int = 0
    parameters: int = 0
    seconds: float = 0.0
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    trouble: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def train_and_score(
    workspace: Workspace, task: Task, paths: RunPaths, rows: int | None = None, fold: int | None = None
) -> TrialResult:
    """Train on at most `rows` training rows; a failure is a result, too.

    The score is that of the validation rows, or of those that one of `train.folds` holds out.
    """
    started = time.monotonic()
    if task.problem == "anomaly":
        return TrialResult(trouble="all validation rows are normal, which cannot tell which settings find anomalies")
    try:
        backend.load(task)
        import keras

        keras.utils.clear_session()  # models of earlier trials would slow this one down
        all_rows = opened(workspace, _without_extras(task))
        data = _sample(all_rows, rows)
        scored = data.validation
        if fold is not None:
            data, scored = next(itertools.islice(fold_parts(task, data), fold, None))
        trained = fit_all(_without_extras(task), data, paths)
        record, body = trained.record, trained.body
        value = _score(task, data, scored, body, task.evaluator.context(all_rows.train[1]))
    except TiltyardError as error:
        return TrialResult(trouble=error.message, seconds=_seconds_since(started))
    if value is None:
        return TrialResult(trouble=f"{task.gate.metric} is not finite", seconds=_seconds_since(started))
    history = {name: [float(number) for number in numbers] for name, numbers in record["history"].items()}
    return TrialResult(
        value,
        history["val_loss"][record["best_epoch"] - 1],
        record["epochs"],
        record["best_epoch"],
        record["parameters"],
        _seconds_since(started),
        history,
    )


def _without_extras(task: Task) -> Task:
    """Return the task without gradient statistics and cross-validation, which a trial does not need."""
    extras: dict[str, Any] = {"watch": False, "folds": None, "tensorboard": []}
    return task.model_copy(update={"train": task.train.model_copy(update=extras)})


def _sample(data: TrainingRows, rows: int | None) -> TrainingRows:
    """Sample `rows` training rows, and the same share of the validation rows, but at least MIN_VALIDATION_ROWS."""
    train_rows = len(data.train[1])
    if not rows or rows >= train_rows:
        return data
    share = validation_rows(train_rows, len(data.validation[1]), rows)
    return dataclasses.replace(
        data,
        train=sample_rows(data.train, rows),
        validation=sample_rows(data.validation, share),
        digest=f"{data.digest} {rows} rows",
    )


def validation_rows(train: int, validation: int, rows: int | None) -> int:
    """Return how many validation rows score a trial that uses `rows` of the training rows."""
    if not rows or rows >= train:
        return validation
    return min(validation, max(MIN_VALIDATION_ROWS, math.ceil(validation * rows / train)))


def _score(
    task: Task, data: TrainingRows, scored: tuple[Features, Array], network_body: keras.Model, context: Context
) -> float | None:
    """Return the metric on rows that did not train, as evaluation computes it; None if it is not finite."""
    from tiltyard.training import network

    model, (features, truth) = network.build_inference(task.model, network_body, data.encoder), scored
    if task.model.translates:
        features = without_decoder_inputs(features, model.input_shape[1:])
    predictions, start = [], 0
    for outputs in network.predict_batches(model, features):
        predictions.append(task.problem_type.condense(data.encoder, truth[start : start + len(outputs)], outputs))
        start += len(outputs)
    value = task.metric.score(truth, np.concatenate(predictions), context)
    return value if math.isfinite(value) else None


def _seconds_since(started: float) -> float:
    return round(time.monotonic() - started, 2)
