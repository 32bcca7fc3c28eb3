"""Baseline loss: the loss of the best constant prediction, learned from the training targets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.columns._vocabulary import PAD
from tiltyard.modeling.models.detector import RARE, SIDE
from tiltyard.preparation.training_rows import TrainingRows, sample_rows
from tiltyard.training.diagnosis import Losses
from tiltyard.training.objective import Objective

if TYPE_CHECKING:
    import keras

ROWS = 1000  # rows of each part that are measured


def baseline_losses(objective: Objective, parts: TrainingRows, network: keras.Model) -> Losses:
    """Measure losses without dropout, augmentation, sample weights or penalties, which the curves include."""
    objective = objective.of_outputs
    constant = _constant(objective, objective.core_targets(parts.train[1]), network.output_shape[-1])
    (train, train_constant), (validation, validation_constant) = (
        _losses(objective, network, constant, sample_rows(part, ROWS)) for part in (parts.train, parts.validation)
    )
    return Losses(train, validation, train_constant, validation_constant)


def constant_loss(objective: Objective, parts: TrainingRows, units: int) -> float:
    """Return the loss of the best constant on training rows; infinity where the loss of training is another one.

    These are texts, whose steps are too many, objects and pixels of pictures, samples, which are compared with no
    target, and recommendations, whose loss has that of the ranking as well.
    """
    kind = objective.encoder.problem
    if objective.of_texts or objective.of_pictures or kind.generates or kind.recommends:
        return math.inf
    constant = _constant(objective, objective.core_targets(parts.train[1]), units)
    targets = objective.core_targets(sample_rows(parts.train, ROWS)[1])
    targets = targets.reshape(len(targets), -1)
    return float(
        np.mean(np.asarray(objective.of_core_targets(targets, np.broadcast_to(constant, (len(targets), units)))))
    )


def _constant(objective: Objective, targets: Array, units: int) -> Array:
    """Return the label frequencies, or the probability with the best margin, or the mean or median of the numbers.

    For objects in pictures: low scores everywhere, as before training.
    """
    if objective.encoder.problem.targets == "objects":
        return np.concatenate([np.full(units - 4, RARE), np.full(4, SIDE)]).astype(np.float32)
    if targets.dtype.kind == "f":
        average = np.median if objective.loss_name == "mae" else np.mean
        return np.asarray(average(targets.reshape(len(targets), -1), axis=0), dtype=np.float32)
    targets = targets[targets != PAD] if objective.of_texts else targets  # padding is not learned
    shares = np.bincount(targets.ravel(), minlength=max(units, 2)) / targets.size
    if objective.learns_margins:
        return _best_margin(shares[1], squared=objective.loss_name == "squared_hinge")
    return (shares[1:] if units == 1 else shares).astype(np.float32)


def _best_margin(share: float, *, squared: bool) -> Array:
    """Return the sigmoid of the constant margin with the lowest loss, by the share of the second label."""
    margin = 2 * share - 1 if squared else np.where(share >= 1 / 2, 1.0, -1.0)
    return np.asarray([1 / (1 + np.exp(-margin))], dtype=np.float32)


def _losses(
    objective: Objective, model: keras.Model, constant: Array, part: tuple[Array, Array]
) -> tuple[float, float]:
    """Return the mean loss of the model and of the constant, in chunks: an output may be large."""
    from tiltyard.training import network

    loss = objective.of_core_targets
    targets = objective.core_targets(part[1])
    targets = targets.reshape(len(targets), -1)
    sums, start = np.zeros(2), 0
    for outputs in network.predict_batches(model, part[0]):
        truth = targets[start : start + len(outputs)]
        for place, prediction in enumerate((outputs, np.broadcast_to(constant, outputs.shape))):
            sums[place] += len(outputs) * float(np.mean(np.asarray(loss(truth, prediction))))
        start += len(outputs)
    model_loss, constant_loss = (sums / len(targets)).tolist()
    return model_loss, constant_loss
