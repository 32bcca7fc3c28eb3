"""The training objective: targets, loss and sample weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.config.train_section import MARGIN_LOSSES
from tiltyard.modeling.columns._masks import masked_anew
from tiltyard.modeling.columns._vocabulary import PAD
from tiltyard.modeling.columns.text import Text
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.problems import detection, reconstruction
from tiltyard.modeling.problems.masked import Masked
from tiltyard.modeling.problems.regression import standardised
from tiltyard.training.batches import Remask

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Objective:
    """The objective of a task, shared by all folds, ensemble members and phases."""

    encoder: Encoder
    output: str  # activation of the last layer
    loss_name: str  # as in the task file
    mixed: bool  # whether MixUp mixes labels
    class_weights: Literal["none", "balanced"] | dict[str, float]
    smoothing: float = 0.0  # share of each label that is spread over all classes

    @classmethod
    def of(cls, task: Task, encoder: Encoder) -> Objective:
        """Return the objective of a task."""
        mixed = bool(task.train.augment and task.train.augment.mixup)
        return cls(encoder, task.output, task.loss, mixed, task.train.class_weights, task.train.label_smoothing)

    @property
    def of_texts(self) -> bool:
        """Return whether the targets are the steps of a text."""
        return self.encoder.problem.targets == "text"

    @property
    def of_pictures(self) -> bool:
        """Return whether the targets are objects or masks of pictures."""
        return self.encoder.problem.targets in ("objects", "mask")

    def core_targets(self, truth: Array) -> Array:
        """Return the targets of the core."""
        return encode_targets(self.encoder, truth)

    @property
    def remask(self) -> Remask | None:
        """Return a function that masks other words in each epoch; None if no words are masked."""
        if not isinstance(self.encoder.problem, Masked):
            return None
        ((name, column),) = self.encoder.columns.items()
        assert isinstance(column, Text)  # noqa: S101 - for the type checker: a task is refused otherwise
        mask = column.mask_id(self.encoder.fitted[name])
        return lambda features, targets, generator: masked_anew(features, targets, column.masked, mask, generator)

    @property
    def soft(self) -> bool:
        """Return whether labels are shares of classes."""
        return self.mixed or self.smoothing > 0

    def training_targets(self, truth: Array) -> Array:
        """Return the targets of training rows, with smoothed labels if the task says so."""
        targets = self.targets(truth)
        if not self.smoothing:
            return targets
        smoothed: Array = (targets * (1 - self.smoothing) + self.smoothing / len(self.encoder.classes)).astype(
            np.float32
        )
        return smoothed

    def targets(self, truth: Array) -> Array:
        """Return the targets: one-hot labels if MixUp or smoothing changes them, else the targets of the core."""
        if not self.soft:
            return self.core_targets(truth)
        if self.output == "sigmoid":
            return truth.astype(np.float32)
        return np.eye(len(self.encoder.classes), dtype=np.float32)[truth]

    @property
    def loss(self) -> Any:
        """Return the loss of training: its name in Keras, or a function.

        Keras' names differ for label indices and one-hot labels. Steps after the end of a text have no weight.
        """
        if self.of_texts:
            return _step_loss
        name = self.loss_name.removeprefix("sparse_") if self.soft else self.loss_name
        return named_loss(name)

    @property
    def of_core_targets(self) -> Any:
        """Return the loss as a function of the targets of the core, and of outputs or batches of them."""
        import keras

        return keras.losses.get(named_loss(self.loss_name) if self.encoder.classes else self.loss)

    @property
    def learns_margins(self) -> bool:
        """Return whether outputs become probabilities only after the training."""
        return self.loss_name in MARGIN_LOSSES

    @property
    def of_outputs(self) -> Objective:
        """Return the objective that compares finished outputs: the log loss for margins that became probabilities."""
        return replace(self, loss_name="binary_crossentropy") if self.learns_margins else self

    def weights(self, truth: Array, targets: Array) -> Array:
        """Return the sample weights: 1, those of the labels, or balanced over the classes."""
        class_weights, classes = self.class_weights, self.encoder.classes
        if class_weights == "none":
            return np.ones(targets.shape if self.of_texts else len(truth), dtype=np.float32)
        if isinstance(class_weights, dict):
            return np.array([class_weights.get(label, 1.0) for label in classes], dtype=np.float32)[truth]
        counts = np.bincount(truth, minlength=len(classes))
        balanced: Array = (len(truth) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[truth].astype(np.float32)
        return balanced


def encode_targets(encoder: Encoder, truth: Array) -> Array:
    """Return the targets of the core: standardised numbers, label indices or flags, boxes, or token ids of a text."""
    if encoder.problem.targets == "text":
        return encoder.problem.ids(encoder, truth)
    if encoder.problem.generates:  # rows are compared with themselves, inside the network
        return truth
    if encoder.problem.reconstructs:  # where the truth of training is the encoded row
        return reconstruction.standardised(encoder, truth)
    if encoder.problem.targets == "objects":
        return detection.as_shares(truth, detection.picture_size(encoder))
    if encoder.problem.targets in ("label", "mask", "labels"):
        return truth.astype(np.float32 if encoder.problem.targets == "labels" else np.int32)
    return standardised(truth, encoder.target).astype(np.float32)


def named_loss(name: str) -> Any:
    """Return a loss of ours as a function; the names of all others are Keras'."""
    from tiltyard.training.losses import OWN

    return OWN.get(name, name)


def _step_loss(truth: keras.KerasTensor, prediction: keras.KerasTensor) -> keras.KerasTensor:
    from keras import losses, ops

    is_step = ops.cast(ops.not_equal(truth, PAD), prediction.dtype)
    return losses.sparse_categorical_crossentropy(truth, prediction) * is_step
