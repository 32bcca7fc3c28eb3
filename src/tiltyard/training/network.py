"""Build the Keras models of a task: a core in standardised units, wrapped for training and for export."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.config.train_section import Train
from tiltyard.errors import TaskError
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.series import Series
from tiltyard.modeling.columns.text import Text
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.models._tables import MEMBERS
from tiltyard.modeling.models.autoencoder import Autoencoder
from tiltyard.modeling.models.base import ENCODED, Branch, Model
from tiltyard.modeling.models.two_tower import TwoTower
from tiltyard.modeling.problems.masked import Masked
from tiltyard.modeling.problems.regression import log_limits
from tiltyard.preparation.array_file import Features
from tiltyard.training.augmentation import augmentation
from tiltyard.training.samplers.base import open_sampler

if TYPE_CHECKING:
    import keras

STATISTICS_ROWS = 50_000  # training rows of which a family computes statistics
MAX_ERROR_CHARACTERS = 300  # characters of an error of Keras
MAX_BATCH_ROWS, MAX_BATCH_BYTES = 1024, 1 << 22  # rows per prediction batch, and their bytes at most


def build_core(task: Task, encoder: Encoder, rows: Features) -> keras.Model:
    """Build the core for training rows: scaling by their statistics, the family's layers, the output layer."""
    import keras

    if task.model.generates:
        return open_sampler(task.model, encoder).body()
    if task.model.adapts:
        mean, std = (np.array(part, dtype=np.float32) for part in encoder.widened_scaling())
        task.model.adapt((encoder.widened(_sample(rows)) - mean) / std)
    if isinstance(task.model, TwoTower):
        from tiltyard.training import recommendation

        task.model.locate_sides(recommendation.sides(encoder, rows))
    features, previous = keras.Input(rows.shape[1:], name="features"), None
    source = features
    if task.model.translates:
        source, previous = _without_steps(features, encoder)
    x = standardised(encoder, source)
    relative = np.array([_is_relative(column) for column in encoder.columns.values()], dtype=np.float32)
    if relative.any():
        x = x - x[:, -1:] * relative
    units = encoder.problem.units(task.target, task.output, encoder)
    output = _family(task.model, encoder, (x, previous), (units, task.output))
    last = _last_value(task.target.column, encoder, features) if task.problem == "forecasting" else None
    return keras.Model(features, output if last is None else output + last)


def standardised_input(encoder: Encoder, shape: tuple[int, ...]) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return the input for rows of a shape, and the rows standardised."""
    import keras

    features = keras.Input(shape, name="features")
    return features, standardised(encoder, features)


def standardised(encoder: Encoder, features: keras.KerasTensor) -> keras.KerasTensor:
    """Return rows standardised by the statistics of training rows."""
    import keras

    mean, std = (np.array(part, dtype=np.float32) for part in encoder.widened_scaling())
    # Rescaling, not Normalization: the latter does not survive the export to ONNX
    # float32 even under mixed precision: 16 bits hold neither large values nor ids
    scale, offset = (1 / std).tolist(), (-mean / std).tolist()
    rescaling = keras.layers.Rescaling(scale, offset, dtype="float32", name="standard")
    return rescaling(encoder.widened(features, keras.ops))


def _sample(rows: Features) -> Array:
    """Return at most so many rows, evenly spaced, for statistics."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(STATISTICS_ROWS, len(rows))).astype(int))
    sample: Array = rows[places] if isinstance(rows, np.ndarray) else rows.take(places)
    return sample.astype(np.float32, copy=False)


def _without_steps(features: keras.KerasTensor, encoder: Encoder) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Divide features of a family that predicts texts: what it reads, and the decoder's input at each step."""
    import keras

    ((name, column),) = encoder.columns.items()
    steps, shape = encoder.target["steps"], column.feature_shape(encoder.fitted[name])
    source = features[:, :-steps]
    return keras.layers.Reshape(shape)(source) if len(shape) > 1 else source, features[:, -steps:]


def _family(
    model: Model,
    encoder: Encoder,
    inputs: tuple[keras.KerasTensor, keras.KerasTensor | None],
    head: tuple[int, str],
) -> keras.KerasTensor:
    """Build the layers of the family and the output layer; raise TaskError if they do not fit the features."""
    (x, previous), (units, activation) = inputs, head
    try:
        if previous is not None:
            x = model.translate(x, previous, (encoder.vocabulary_size, units))
        else:
            model.weigh_tokens(encoder.token_weights)
            if model.reads_names:
                model.locate_names(encoder.places_by_name)
            model.lay_out(*branches(encoder))
            if isinstance(encoder.problem, Masked):
                x = _at_masks(model, x, encoder)
            else:
                x = model.build(x, encoder.vocabulary_size)
        return model.head(x, units, activation)
    except ValueError as error:
        text = " ".join(str(error).split())[:MAX_ERROR_CHARACTERS]
        shape = "x".join(map(str, x.shape[1:]))
        hint = "change model: in the task file, or the input size"
        raise TaskError(f"model: {model.family} does not fit features of {shape}: {text}", hint) from None


def branches(encoder: Encoder) -> tuple[list[Branch], list[int]]:
    """Return the texts and images of a row that has several columns, and the places of all other features."""
    if encoder.bare:
        return [], []
    found, spans = list[Branch](), encoder.spans
    for name, column in encoder.columns.items():
        if column.branch != "table":
            fitted = encoder.fitted[name]
            shape, ids = column.feature_shape(fitted), column.vocabulary_size(fitted)
            found.append(Branch(name, column.branch, spans[name].start, shape, ids))
    inside = {place for branch in found for place in range(branch.start, branch.stop)}
    return found, [place for place in range(len(encoder.widened_scaling()[0])) if place not in inside]


def _at_masks(model: Model, ids: keras.KerasTensor, encoder: Encoder) -> keras.KerasTensor:
    """Return the steps of masked words, in order, then other ones: probabilities of all words at all steps are many.

    Ids above that of the mask are words that training shows although they are to be predicted.
    """
    import keras

    ((name, column),) = encoder.columns.items()
    assert isinstance(column, Text)  # noqa: S101 - for the type checker: a task is refused otherwise
    steps, mask = np.arange(ids.shape[1], dtype=np.float32), float(column.mask_id(encoder.fitted[name]))
    shown = keras.ops.where(keras.ops.greater(ids, mask), ids - mask, ids)
    x = model.build(shown, encoder.vocabulary_size)
    x = keras.layers.Identity(name=ENCODED)(x)  # where tasks that start from this one continue
    is_asked = keras.ops.cast(keras.ops.greater_equal(ids, mask), "float32")
    _, places = keras.ops.top_k(is_asked - steps / (2 * len(steps)), column.max_masks)  # the earlier, the larger
    chosen = keras.ops.equal(keras.ops.cast(places, "float32")[:, :, None], steps)
    return keras.ops.matmul(keras.ops.cast(chosen, x.dtype), x)


def _is_relative(column: Column) -> bool:
    return isinstance(column, Series) and column.relative


def _last_value(name: str, encoder: Encoder, features: keras.KerasTensor) -> keras.KerasTensor | None:
    """Return the last value of the series in standardised units, if differences are learned."""
    import keras

    if not _is_relative(encoder.columns[name]):
        return None
    place = list(encoder.columns).index(name)
    mean, std = encoder.target["mean"], encoder.target["std"]
    return keras.layers.Rescaling(1 / std, -mean / std, dtype="float32")(features[:, -1, place : place + 1])


def build_trainer(train: Train, body: keras.Model, family: Model | None = None) -> keras.Model:
    """Put augmentation in front of the shared core, random layers into it, or its members at the end.

    The core shares its weights with the trainer; export omits all of these.
    """
    import keras

    if isinstance(family, Autoencoder):
        from tiltyard.training import reconstruction

        changes = train.augment is not None and train.augment.image_changes
        augmented = augmentation(train.augment, train.seed) if train.augment and changes else None
        core = _randomised(family, body, train.seed) if family.random_in_training else body
        return reconstruction.build_trainer(family, core, augmented, train.seed)

    if isinstance(family, TwoTower):
        from tiltyard.training import recommendation

        both = recommendation.with_vectors(body)
        randomised = _randomised(family, both, train.seed) if family.random_in_training else both
        return recommendation.build_trainer(family, randomised)

    if any(layer.name == MEMBERS for layer in body.layers):
        from tiltyard.training.members import MembersTrainer

        return MembersTrainer(body.input, body.get_layer(MEMBERS).output)

    body = _randomised(family, body, train.seed) if family and family.random_in_training else body
    if not train.augment or not train.augment.image_changes:
        return body
    features = keras.Input(body.input_shape[1:], name="features")
    return keras.Model(features, body(augmentation(train.augment, train.seed)(features)))


def _randomised(family: Model, body: keras.Model, seed: int) -> keras.Model:
    """Return the core with the layers that the family has in training; both share their weights."""
    import keras

    places = {layer.name: place for place, layer in enumerate(body.layers)}

    def replaced(layer: keras.layers.Layer) -> keras.layers.Layer:
        return family.training_layer(layer, seed + places[layer.name]) if layer.name in places else layer

    return keras.models.clone_model(body, clone_function=replaced)


def build_inference(
    model: Model, body: keras.Model, encoder: Encoder, ends: tuple[Array, Array] | None = None
) -> keras.Model:
    """Append the conversion back to the target's units; this model is exported.

    `ends` are the offsets of a forecast's lower and upper bound at each step.
    """
    import keras

    if model.translates:
        return model.unroll(body, encoder.target["steps"])
    if model.generates:
        return open_sampler(model, encoder).scorer(body)
    if encoder.problem.reconstructs:
        from tiltyard.training import reconstruction

        return reconstruction.build_inference(body)
    if encoder.problem.recommends:
        from tiltyard.training import recommendation

        return recommendation.build_inference(body, encoder.target)
    if encoder.problem.targets != "number":
        return keras.Model(body.input, body.output)  # not `body`, which may be saved with its optimizer
    scale, offset, output = encoder.target["std"], encoder.target["mean"], body.output
    if ends:
        low, high = (output + end.astype(np.float32) for end in ends)
        output = keras.ops.stack([output, low, high], axis=1)
    value = keras.layers.Rescaling(scale, offset, dtype="float32")(output)
    if limits := encoder.target.get("log"):
        several = "names" in encoder.target
        value = _without_log(value, limits) if several else keras.ops.exp(keras.ops.clip(value, *limits)) - 1.0
    return keras.Model(body.input, value)


def _without_log(value: keras.KerasTensor, log: list[list[float] | None]) -> keras.KerasTensor:
    """Return several numbers, some of which were learned by their logarithm.

    Arrays are arguments of operations that take tensors: Keras cannot save those of `clip`.
    """
    from keras import ops

    is_log, low, high = (part.astype(np.float32)[None] for part in log_limits(log))
    exponential = ops.exp(ops.maximum(ops.minimum(value, high), low)) - 1.0  # 0 for other numbers
    return exponential + value * (1.0 - is_log)


def outputs(model: keras.Model, features: Features) -> Array:
    """Return the outputs of a model."""
    return np.concatenate(list(predict_batches(model, features)))


def predict_batches(model: keras.Model, features: Features) -> Iterator[Array]:
    """Yield outputs in small batches, without building a predict function."""
    largest = max(4 * int(np.prod(shape[1:])) for shape in (model.input_shape, model.output_shape))
    batch_rows = min(MAX_BATCH_ROWS, max(1, MAX_BATCH_BYTES // largest))
    for start in range(0, len(features), batch_rows):
        yield np.asarray(model(features[start : start + batch_rows].astype(np.float32, copy=False), training=False))
