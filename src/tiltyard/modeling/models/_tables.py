"""Networks for tables: robust scaling, embeddings of numbers, learned input scales, and members that share layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from tiltyard.arrays import Array
from tiltyard.modeling.models._layers import Activation, Share
from tiltyard.modeling.models.base import Model

if TYPE_CHECKING:
    import keras

QUARTILES = (0.25, 0.5, 0.75)
LIMIT = 3.0  # smooth clipping keeps scaled numbers below this, either side
WAVES = 16  # cosines of a periodic embedding
NARROW = 1e-6  # a piece of a piecewise linear embedding that is narrower is left out
MEMBERS = "members"  # name of the layer with the outputs of the members


@dataclass(frozen=True)
class FeatureStatistics:
    """Statistics of standardised features in training rows: which are numbers, and how to scale them."""

    flags: list[int]  # places of features with at most two values
    numbers: list[int]  # places of the other features
    median: Array
    factor: Array  # the reciprocal of the interquartile range
    edges: Array  # (numbers, bins + 1): quantiles of the scaled numbers; equal ones if there are fewer values

    @classmethod
    def of(cls, rows: Array, bins: int) -> FeatureStatistics:
        """Compute the statistics of rows."""
        several = np.array([len(np.unique(column)) > 2 for column in rows.T], dtype=bool)
        numbers = rows[:, several].astype(np.float64)
        low, median, high = np.quantile(numbers, QUARTILES, axis=0)
        factor = _reciprocal(high - low, numbers)
        edges = np.quantile(_clipped((numbers - median) * factor), np.linspace(0, 1, bins + 1), axis=0).T
        return cls(np.flatnonzero(~several).tolist(), np.flatnonzero(several).tolist(), median, factor, edges)


def _reciprocal(spread: Array, numbers: Array) -> Array:
    """Return the reciprocal of the interquartile range; where that is 0, of half the range."""
    half = (numbers.max(axis=0) - numbers.min(axis=0)) / 2
    return np.asarray(1 / np.where(spread > 0, spread, half))


def _clipped(scaled: Array) -> Array:
    return np.asarray(scaled / np.sqrt(1 + (scaled / LIMIT) ** 2))


class TableLayers(Model):
    """Settings and layers of a network for tables."""

    modalities: ClassVar = ("table",)
    adapts: ClassVar = True

    units: list[int] = Field([128, 128], description="Width of each hidden layer.")
    activation: Activation = Field("relu", description="Activation of the hidden layers.")
    parametric: bool = Field(default=False, description="Mix each activation with the identity, by a learned share.")
    dropout: Share = Field(0.1, description="Dropout rate after each hidden layer.")
    members: int = Field(
        16, ge=1, le=64, description="Members of an ensemble in one network; they share hidden layers."
    )
    embedding: Literal["piecewise", "periodic", "none"] = Field(
        "piecewise", description="Embedding of numbers: piecewise linear between quantiles, periodic, or none."
    )
    embedding_size: int = Field(8, ge=2, le=64, description="Length of the embedding of a number.")
    bins: int = Field(16, ge=2, le=256, description="Pieces of a piecewise linear embedding.")
    frequency: float = Field(0.1, gt=0, description="Standard deviation of the frequencies of a periodic embedding.")
    input_rate: float = Field(
        0.0, ge=0, le=1000, description="Rate of the learned input scales, relative to other weights; 0 for no scales."
    )

    _statistics: FeatureStatistics | None = PrivateAttr(None)

    @property
    def one_output_layer(self) -> bool:
        """Whether there are no members, each of which has an output layer."""
        return self.members == 1

    def adapt(self, rows: Array) -> None:
        """Compute the statistics of standardised training rows."""
        self._statistics = FeatureStatistics.of(rows, self.bins)

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build embeddings, input scales, those of the members, and hidden layers."""
        from keras import initializers, layers

        x = self._inputs(features)
        width = x.shape[-1]
        if self.input_rate:  # Adam's steps do not depend on the size of a weight: a smaller one changes faster
            start = initializers.Constant(1 / self.input_rate)
            x = layers.EinsumDense("bd,d->bd", (width,), kernel_initializer=start)(x) * self.input_rate
        if self.members > 1:
            start = initializers.RandomNormal(stddev=1.0)
            x = layers.EinsumDense("bd,kd->bkd", (self.members, width), kernel_initializer=start)(x)
        for units in self.units:
            x = self._active(layers.Dense(units)(x))
            x = layers.Dropout(self.dropout)(x) if self.dropout else x
        return x

    def head(self, x: keras.KerasTensor, units: int, activation: str) -> keras.KerasTensor:
        """Add an output layer for each member, and the mean of their outputs."""
        from keras import layers

        if self.members == 1:
            return super().head(x, units, activation)
        member_layer = layers.EinsumDense("bkd,kdu->bku", (self.members, units), bias_axes="ku", dtype="float32")
        outputs = layers.Activation(activation, dtype="float32", name=MEMBERS)(member_layer(x))
        return layers.GlobalAveragePooling1D(dtype="float32", name="output")(outputs)

    def _active(self, x: keras.KerasTensor) -> keras.KerasTensor:
        from keras import layers

        active = layers.Activation(self.activation)(x)
        if not self.parametric:
            return active
        equation = "bd,d->bd" if len(x.shape) == 2 else "bkd,d->bkd"
        share = layers.EinsumDense(equation, x.shape[1:], kernel_initializer="ones")
        return x + share(active - x)

    def _inputs(self, features: keras.KerasTensor) -> keras.KerasTensor:
        """Return flags and embedded numbers as one vector for each row."""
        from keras import layers, ops

        if self._statistics is None:
            raise ValueError("call adapt before build: it computes statistics of the features")
        statistics, parts = self._statistics, []
        if statistics.flags:
            parts.append(ops.take(features, statistics.flags, axis=1))
        if statistics.numbers:
            numbers = _scaled(ops.take(features, statistics.numbers, axis=1), statistics)
            parts.append(layers.Flatten()(self._embedded(numbers, statistics.edges)))
        return layers.Concatenate()(parts) if len(parts) > 1 else parts[0]

    def _embedded(self, numbers: keras.KerasTensor, edges: Array) -> keras.KerasTensor:
        from keras import ops

        if self.embedding == "piecewise":
            return self._piecewise(numbers, _ramps(ops.expand_dims(numbers, -1), edges))
        return self._periodic(numbers) if self.embedding == "periodic" else numbers

    def _piecewise(self, numbers: keras.KerasTensor, ramps: keras.KerasTensor) -> keras.KerasTensor:
        """Return a linear embedding, plus one that is linear between quantiles and begins as zero."""
        from keras import layers

        shape = (numbers.shape[1], self.embedding_size)
        start = _uniform(1 / math.sqrt(self.embedding_size))
        linear = layers.EinsumDense("bn,ne->bne", shape, bias_axes="ne", kernel_initializer=start)
        pieces = layers.EinsumDense("bnp,npe->bne", shape, kernel_initializer="zeros")
        return linear(numbers) + pieces(ramps)

    def _periodic(self, numbers: keras.KerasTensor) -> keras.KerasTensor:
        """Return each number, and a linear map of cosines with learned frequencies and phases (PBLD)."""
        from keras import initializers, layers, ops

        count = numbers.shape[1]
        phase = layers.EinsumDense(
            "bn,nw->bnw",
            (count, WAVES),
            bias_axes="nw",
            kernel_initializer=initializers.RandomNormal(stddev=2 * math.pi * self.frequency),
            bias_initializer=_uniform(math.pi),
        )
        mix = layers.EinsumDense(
            "bnw,nwe->bne",
            (count, self.embedding_size - 1),
            bias_axes="ne",
            kernel_initializer=_uniform(1 / math.sqrt(WAVES)),
        )
        return ops.concatenate([ops.expand_dims(numbers, -1), mix(ops.cos(phase(numbers)))], axis=-1)


def _uniform(end: float) -> Any:
    from keras import initializers

    return initializers.RandomUniform(-end, end)


def _scaled(numbers: keras.KerasTensor, statistics: FeatureStatistics) -> keras.KerasTensor:
    """Scale numbers by median and interquartile range, and clip them smoothly."""
    from keras import ops

    scaled = (numbers - statistics.median.astype(np.float32)) * statistics.factor.astype(np.float32)
    return scaled / ops.sqrt(1.0 + ops.square(scaled / LIMIT))


def _ramps(numbers: keras.KerasTensor, edges: Array) -> keras.KerasTensor:
    """Return how much of each piece between two quantiles lies below the number: 0 to 1."""
    from keras import ops

    width = np.diff(edges, axis=1)
    slope = np.where(width > NARROW, 1 / np.maximum(width, NARROW), 0).astype(np.float32)
    below = numbers - edges[:, :-1].astype(np.float32)  # exact near the edge, where a narrow piece has a steep slope
    return ops.clip(below * slope, 0.0, 1.0)
