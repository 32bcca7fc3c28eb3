"""Fit the reference of a task, and build the Keras model with the same outputs, which is exported like a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.errors import TaskError, TrainingError
from tiltyard.modeling.references import base
from tiltyard.preparation.training_rows import TrainingRows, sample_rows
from tiltyard.training.constant_baseline import baseline_losses
from tiltyard.training.diagnosis import diagnose
from tiltyard.training.objective import Objective

if TYPE_CHECKING:
    import keras

COMPARED_ROWS = 256
MAX_VALIDATION = 5_000  # rows by which the best is chosen
TOLERANCE = 1e-3  # of scores, relative to the largest: float32 beside float64


@dataclass(frozen=True)
class Trained:
    """A trained model, and the record of its training."""

    body: keras.Model
    record: dict[str, Any]
    # Fits references again, to validation rows as well: after these rows have chosen all that they choose.
    refit: Callable[[], Trained] | None = None


def fit_reference(task: Task, parts: TrainingRows) -> Trained:
    """Return the best reference and the record of its training, which counts as one epoch."""
    later, truth = parts.validation[0][:MAX_VALIDATION], parts.validation[1][:MAX_VALIDATION]
    subject = task.reference_subject(parts.encoder)
    fitted = base.best(subject, parts.train, lambda reference: subject.loss(truth, reference.scores(later)))
    if fitted is None:
        raise TaskError(
            f"model: reference: no reference takes {base.width(parts.train[0])} features and {subject.units} outputs",
            hint="set another model.family",
        )
    body = build_reference(fitted, parts, task.output)
    losses = baseline_losses(Objective.of(task, parts.encoder), parts, body)
    record = {
        "epochs": 1,
        "best_epoch": 1,
        "stopped_early": True,
        "parameters": body.count_params(),
        "seed": task.train.seed,
        "history": {"loss": [losses.train], "val_loss": [losses.validation]},
        "reference": fitted.name,
    }
    record |= {"diagnosis": diagnose(losses, record, [])}

    def refit() -> Trained:
        again = base.refitted(fitted, parts.train, parts.validation)
        return Trained(build_reference(again, parts, task.output), {**record, "reference": again.name})

    return Trained(body, record, refit if fitted.model.refits else None)


def build_reference(fitted: base.FittedReference, parts: TrainingRows, output: str) -> keras.Model:
    """Return a fitted reference as a Keras model with the outputs of a network: `output` is its activation."""
    from tiltyard.training.reference_graphs import full_precision, scores_model

    with full_precision():
        scores = scores_model(fitted.model, parts.train[0].shape[1:])
        compare(scores, fitted, sample_rows(parts.validation, COMPARED_ROWS)[0])
        return _activated(scores, output, several=fitted.model.subject.several)


def _activated(scores: keras.Model, output: str, *, several: bool = False) -> keras.Model:
    """Append the activation of the task: a sigmoid has one unit for two labels, unless a row may have several.

    A reference predicts counts themselves, not their logarithms, but they may be negative.
    """
    import keras

    logits = scores.output
    logits = logits[:, 1:] - logits[:, :1] if output == "sigmoid" and not several else logits
    output = "relu" if output == "exponential" else output
    return keras.Model(scores.input, keras.layers.Activation(output, dtype="float32", name="output")(logits))


def compare(scores: keras.Model, fitted: base.FittedReference, features: Array) -> None:
    """Raise TrainingError if scikit-learn and the Keras model differ."""
    from tiltyard.training import network

    expected, received = fitted.scores(features), network.outputs(scores, features)
    worst = float(np.abs(expected - received).max() / max(1.0, np.abs(expected).max()))
    if not worst <= TOLERANCE:
        raise TrainingError(
            f"model: reference: expected scikit-learn's scores within {TOLERANCE:g}; the graph differs by {worst:.2g}",
            hint="set another model.family, and report this",
        )
