"""The Keras models of a task: a core that learns in standardised units, wrapped for training and for export."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.errors import TaskError
from tiltyard.modeling.columns._vocabulary import PAD
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.series import Series
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.preparation.array_file import Features
from tiltyard.training.augmentation import augmentation

if TYPE_CHECKING:
    import keras

LONGEST = 300  # characters of a complaint of Keras
AT_ONCE, BYTES = 1024, 1 << 22  # rows that are answered together, and what they may hold


def build_core(task: Task, encoder: Encoder, shape: tuple[int, ...]) -> keras.Model:
    """Scale by the training rows' statistics, the family's layers, the output layer."""
    import keras

    mean, std = (np.array(part, dtype=np.float32) for part in encoder.scaling())
    features = keras.Input(shape, name="features")
    # Rescaling, not Normalization: the latter does not survive the export to ONNX
    # float32 even under mixed precision: 16 bits hold neither large values nor ids
    scale, offset = (1 / std).tolist(), (-mean / std).tolist()
    x = keras.layers.Rescaling(scale, offset, dtype="float32", name="standard")(features)
    relative = np.array([_is_relative(column) for column in task.columns.values()], dtype=np.float32)
    if relative.any():
        x = x - x[:, -1:] * relative
    output, last = _family(task, encoder, x), _last(task, encoder, features)
    return keras.Model(features, output if last is None else output + last)


def _family(task: Task, encoder: Encoder, x: keras.KerasTensor) -> keras.KerasTensor:
    """Stack what the task file asks for; say what does not fit, in a sentence."""
    units = task.kind.units(task.target, task.output, encoder)
    try:
        if task.model.translates:
            steps = encoder.target["steps"]
            x = task.model.translate(x[:, :-steps], x[:, -steps:], (encoder.vocabulary_size, units))
        else:
            x = task.model.build(x, encoder.vocabulary_size)
        return task.model.head(x, units, task.output)
    except ValueError as error:
        text = " ".join(str(error).split())[:LONGEST]
        shape = "x".join(map(str, x.shape[1:]))
        hint = "change model: in the task file, or the size of what it reads"
        raise TaskError(f"model: {task.model.family} does not fit features of {shape}: {text}", hint) from None


def _is_relative(column: Column) -> bool:
    return isinstance(column, Series) and column.relative


def _last(task: Task, encoder: Encoder, features: keras.KerasTensor) -> keras.KerasTensor | None:
    """Return the target's last value in its standardised units, if it is changes that are learned."""
    import keras

    place = list(task.columns).index(task.target.column) if task.problem == "forecasting" else -1
    if place < 0 or not _is_relative(task.columns[task.target.column]):
        return None
    mean, std = encoder.target["mean"], encoder.target["std"]
    return keras.layers.Rescaling(1 / std, -mean / std, dtype="float32")(features[:, -1, place : place + 1])


def build_trainer(task: Task, body: keras.Model) -> keras.Model:
    """Put augmentation in front of the core, which it shares; export leaves it out."""
    import keras

    if not task.train.augment or not task.train.augment.image_changes:
        return body
    features = keras.Input(body.input_shape[1:], name="features")
    return keras.Model(features, body(augmentation(task.train.augment, task.train.seed)(features)))


def build_inference(
    task: Task, body: keras.Model, encoder: Encoder, ends: tuple[Array, Array] | None = None
) -> keras.Model:
    """Put the way back to the target's own units behind the core; this is what is exported.

    `ends` is what a forecast may miss by, below and above, at each step.
    """
    import keras

    if task.model.translates:
        return task.model.unroll(body, encoder.target["steps"])
    if task.kind.targets != "number":
        return keras.Model(body.input, body.output)  # not `body`, which may be saved with its optimizer
    scale, offset, output = encoder.target["std"], encoder.target["mean"], body.output
    if ends:
        low, high = (output + end.astype(np.float32) for end in ends)
        output = keras.ops.stack([output, low, high], axis=1)
    value = keras.layers.Rescaling(scale, offset, dtype="float32")(output)
    if limits := encoder.target.get("log"):
        value = keras.ops.exp(keras.ops.clip(value, *limits)) - 1.0
    return keras.Model(body.input, value)


def outputs(model: keras.Model, features: Features) -> Array:
    """Return what a model answers."""
    return np.concatenate(list(predict_batches(model, features)))


def predict_batches(model: keras.Model, features: Features) -> Iterator[Array]:
    """Yield what a model answers, as many rows at a time as are small, and without building a function for it."""
    largest = max(4 * int(np.prod(shape[1:])) for shape in (model.input_shape, model.output_shape))
    some = min(AT_ONCE, max(1, BYTES // largest))
    for start in range(0, len(features), some):
        yield np.asarray(model(features[start : start + some].astype(np.float32, copy=False), training=False))


def answers(encoder: Encoder, truth: Array) -> Array:
    """Return what the core answers at best: a number in standardised units, the label's place, or the ids of a text."""
    if encoder.problem.targets == "text":
        return encoder.problem.ids(encoder, truth)
    if encoder.problem.targets == "label":
        return truth.astype(np.int32)
    truth = np.log1p(truth) if "log" in encoder.target else truth
    standardised: Array = (truth - encoder.target["mean"]) / encoder.target["std"]
    return standardised.astype(np.float32)


def targets(task: Task, encoder: Encoder, truth: Array) -> Array:
    """Return what the core learns: its answers, or shares of labels where MixUp is to mix them."""
    if not _is_mixed(task):
        return answers(encoder, truth)
    return truth.astype(np.float32) if task.output == "sigmoid" else np.eye(len(task.classes), dtype=np.float32)[truth]


def loss(task: Task) -> Any:
    """Return the loss that Keras is to use: between places of labels and shares of labels it distinguishes by name.

    Of texts, steps behind the end count nothing.
    """
    if task.kind.targets == "text":
        return _of_steps
    return task.loss.removeprefix("sparse_") if _is_mixed(task) else task.loss


def _of_steps(truth: keras.KerasTensor, guess: keras.KerasTensor) -> keras.KerasTensor:
    from keras import losses, ops

    there = ops.cast(ops.not_equal(truth, PAD), guess.dtype)
    return losses.sparse_categorical_crossentropy(truth, guess) * there


def _is_mixed(task: Task) -> bool:
    return bool(task.train.augment and task.train.augment.mixup)
