"""An attempt: train a variant of a task and measure it on the validation rows; the test part is never opened."""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.config.task import Task
from tiltyard.errors import TiltyardError
from tiltyard.modeling.metrics.base import Context
from tiltyard.preparation.training_rows import TrainingRows, sample_rows
from tiltyard.training.fit import RunPaths
from tiltyard.training.train import fit_all, opened
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import keras


TELLING = 1000  # validation rows that are kept, if there are as many: a hundred know shares by hundredths alone


@dataclass(frozen=True)
class TrialResult:
    """What became of a variant; `value` is the gate's metric on the validation rows, None where it cannot train."""

    value: float | None = None
    val_loss: float | None = None  # of the epoch that was kept: it tells apart what the metric finds equal
    epochs: int = 0
    best_epoch: int = 0
    parameters: int = 0
    seconds: float = 0.0
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    trouble: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def attempt(workspace: Workspace, task: Task, place: RunPaths, rows: int | None = None) -> TrialResult:
    """Train on at most so many of the training rows; what cannot be trained is an outcome, too."""
    import keras

    started = time.monotonic()
    keras.utils.clear_session()  # many models in one process would slow each other down
    try:
        whole = opened(workspace, _bare(task))
        parts = _fewer(whole, rows)
        body, record = fit_all(_bare(task), parts, place)
        value = _measured(task, parts, body, task.evaluator.context(whole.train[1]))
    except TiltyardError as error:
        return TrialResult(trouble=error.message, seconds=_since(started))
    if value is None:
        return TrialResult(trouble=f"{task.gate.metric} is no number", seconds=_since(started))
    history = {name: [float(figure) for figure in figures] for name, figures in record["history"].items()}
    return TrialResult(
        value,
        history["val_loss"][record["best_epoch"] - 1],
        record["epochs"],
        record["best_epoch"],
        record["parameters"],
        _since(started),
        history,
    )


def _bare(task: Task) -> Task:
    """Return the task as a variant is trained: nobody looks at vital signs or folds of what is thrown away."""
    return task.model_copy(update={"train": task.train.model_copy(update={"watch": False, "folds": None})})


def _fewer(parts: TrainingRows, rows: int | None) -> TrainingRows:
    """Keep so many training rows, and as large a share of the validation rows, or enough of them to tell."""
    known = len(parts.train[1])
    if not rows or rows >= known:
        return parts
    share = validation_rows(known, len(parts.validation[1]), rows)
    return dataclasses.replace(
        parts,
        train=sample_rows(parts.train, rows),
        validation=sample_rows(parts.validation, share),
        digest=f"{parts.digest} {rows} rows",
    )


def validation_rows(train: int, validation: int, rows: int | None) -> int:
    """Return how many validation rows judge, if so many training rows are used."""
    if not rows or rows >= train:
        return validation
    return min(validation, max(TELLING, math.ceil(validation * rows / train)))


def _measured(task: Task, parts: TrainingRows, body: keras.Model, context: Context) -> float | None:
    """Measure as the evaluation does, on the validation rows; None if the model gives no numbers."""
    from tiltyard.training import network

    model, (features, truth) = network.build_inference(task.model, body, parts.encoder), parts.validation
    if task.model.translates:
        features = features[:][:, : model.input_shape[1]]  # the rest is what a writer is told while it learns
    condensed, start = [], 0
    for outputs in network.predict_batches(model, features):
        condensed.append(task.kind.condense(parts.encoder, truth[start : start + len(outputs)], outputs))
        start += len(outputs)
    value = task.metric.score(truth, np.concatenate(condensed), context)
    return value if math.isfinite(value) else None


def _since(started: float) -> float:
    return round(time.monotonic() - started, 2)
