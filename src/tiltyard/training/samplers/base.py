"""The Sampler base class: networks of a generative family, for training and for export."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from tiltyard import plugins
from tiltyard.arrays import Array
from tiltyard.errors import DataError
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.models.base import Model
from tiltyard.modeling.problems.sampling import Facts
from tiltyard.preparation.array_file import MAX_IN_MEMORY_BYTES, ArrayFile, Features
from tiltyard.preparation.training_rows import TrainingRows

if TYPE_CHECKING:
    import keras

Family = TypeVar("Family", bound=Model)


@dataclass(frozen=True)
class Rows:
    """What the rows of a training look like: each is flat, its features in their own units, then a flag per class."""

    shape: tuple[int, ...]  # of the features of a row: height, width, channels of an image
    scale: float  # by which features are divided: the brightest pixel, so that they are from 0 to 1
    classes: int  # flags after the features; 0 if the model is not conditional

    @property
    def width(self) -> int:
        """How many features a row has."""
        return int(np.prod(self.shape))


class Sampler(ABC, Generic[Family]):
    """The networks of one family: plug-ins in samplers/ have the names of their families.

    `body` has all weights, those that training changes and those that are exported. Its input are the rows of a
    training, (rows, width + classes). What training and export need is made from it again, by the names of its layers.
    """

    def __init__(self, family: Family, rows: Rows) -> None:
        self.family = family
        self.rows = rows

    @abstractmethod
    def body(self) -> keras.Model:
        """Build the network with all weights."""

    @abstractmethod
    def trainer(self, body: keras.Model, steps: int, seed: int) -> keras.Model:
        """Return the model that is trained, which shares its weights with the body; `steps` are those of an epoch.

        Its `compute_loss` returns the loss; targets are zeros. In tests `training` is False.
        """

    @abstractmethod
    def scorer(self, body: keras.Model) -> keras.Model:
        """Return the model that becomes model.onnx: from features of a row to the outputs of problems/sampling.py.

        The larger the score, the more unusual the row: reports list the rows with the largest ones.
        """

    @abstractmethod
    def decoder(self, body: keras.Model) -> keras.Model:
        """Return what becomes decoder.onnx: from codes, with flags of classes, to features from 0 to 1, flat."""

    @abstractmethod
    def facts(self) -> Facts:
        """Return what the model consists of."""

    def codes_to_compare(self, body: keras.Model, seed: int) -> Array | None:
        """Return codes whose rows are the same within rounding in Keras and ONNX; None if all are."""
        return None

    def floors(self) -> Array | None:
        """Return the size of each output of the scorer below which differences of ONNX and Keras are relative to it."""
        return None

    def validation(self, features: Array, seed: int) -> Array:
        """Return the features of validation rows as they are compared in every epoch; by default unchanged."""
        return features


def open_sampler(family: Model, encoder: Encoder) -> Sampler[Any]:
    """Return the sampler of a family for the rows of an encoder."""
    ((name, column),) = encoder.columns.items()
    classes = len(encoder.target.get("labels", ())) if getattr(family, "conditional", False) else 0
    rows = Rows(column.feature_shape(encoder.fitted[name]), encoder.fitted[name]["std"], classes)
    sampler: Sampler[Any] = plugins.load("samplers", family.family)(family, rows)
    return sampler


def with_facts(encoder: Encoder, family: Model) -> Encoder:
    """Return the encoder that says what the trained model consists of."""
    return encoder.with_target(asdict(open_sampler(family, encoder).facts()))


def training_rows(family: Model, parts: TrainingRows, seed: int) -> TrainingRows:
    """Return the rows flat, with the flags of their classes if the model is conditional; targets are zeros."""
    sampler = open_sampler(family, parts.encoder)

    def part(rows: tuple[Features, Array], *, validation: bool) -> tuple[Array, Array]:
        features, truth = _in_memory(rows[0]), rows[1]
        flat = features.reshape(len(features), -1)
        flat = sampler.validation(flat, seed).astype(flat.dtype) if validation else flat
        flags = np.eye(sampler.rows.classes, dtype=flat.dtype)[truth.astype(np.int64)] if sampler.rows.classes else None
        flat = flat if flags is None else np.concatenate([flat, flags], axis=1)
        return flat, np.zeros((len(flat), 1), dtype=np.float32)

    return replace(parts, train=part(parts.train, validation=False), validation=part(parts.validation, validation=True))


def _in_memory(features: Features) -> Array:
    if isinstance(features, ArrayFile):
        raise DataError(
            f"expected at most {MAX_IN_MEMORY_BYTES >> 20} MiB of encoded rows for samples; received "
            f"{features.nbytes >> 20} MiB",
            hint="use fewer rows: split.rows",
        )
    return features
