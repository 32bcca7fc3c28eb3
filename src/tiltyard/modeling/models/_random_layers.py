"""Layers that are random in training. Each takes the place of a layer of the network, which is what is exported."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

TINY = 1e-7  # added to magnitudes, so that a window of zeros has shares, too
MAX_LOG_VARIANCE = 20.0  # either sign: the exponential of a larger one overflows
POOLING = "stochastic_pooling"  # first part of the name of a model that pools by expectation


class DropConnect(keras.layers.Layer):  # type: ignore[misc]
    """A dense layer of which a random share of the weights is 0 in training, another one for each batch.

    The others are divided by what is left, so that the expectation of each weight is the weight itself, with which the
    network predicts (Wan et al., 2013; there each row has weights of its own).
    """

    def __init__(self, dense: keras.layers.Dense, rate: float, seed: int) -> None:
        super().__init__()
        self.dense = dense
        self.rate = rate
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        """Compute the layer; without training it is the dense layer."""
        if not training:
            return self.dense(inputs)
        kernel = keras.random.dropout(ops.convert_to_tensor(self.dense.kernel), self.rate, seed=self.generator)
        outputs = ops.matmul(inputs, ops.cast(kernel, inputs.dtype)) + ops.cast(self.dense.bias, inputs.dtype)
        return self.dense.activation(outputs)


class DrawnCode(keras.layers.Layer):  # type: ignore[misc]
    """Draws a code from a normal distribution with its mean and log-variance, side by side (Kingma and Welling, 2014).

    The divergence from a standard normal distribution is added to the loss in training.
    """

    def __init__(self, weight: float, seed: int) -> None:
        super().__init__(dtype="float32")
        self.weight = weight
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        """Replace the mean by a draw; without training, return it unchanged."""
        if not training:
            return inputs
        mean, spread = ops.split(inputs, 2, axis=-1)
        spread = ops.clip(spread, -MAX_LOG_VARIANCE, MAX_LOG_VARIANCE)
        divergence = ops.sum(ops.exp(spread) + ops.square(mean) - 1.0 - spread, axis=-1) / 2.0
        self.add_loss(self.weight * ops.mean(divergence))
        noise = keras.random.normal(ops.shape(mean), dtype="float32", seed=self.generator)
        return ops.concatenate([mean + ops.exp(spread / 2.0) * noise, spread], axis=-1)


class UnknownIds(keras.layers.Layer):  # type: ignore[misc]
    """Replaces a random share of identifiers by 0 in training, so that the vector of an unknown one is learned."""

    def __init__(self, share: float, seed: int) -> None:
        super().__init__(dtype="float32")
        self.share = share
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        """Replace; without training, return the identifiers unchanged."""
        if not training:
            return inputs
        chance = keras.random.uniform(ops.shape(inputs), dtype="float32", seed=self.generator)
        return ops.where(chance < self.share, ops.zeros_like(inputs), inputs)


class StochasticPooling(keras.layers.Layer):  # type: ignore[misc]
    """Pooling that picks a value of each window at random, in proportion to magnitudes (Zeiler and Fergus, 2013)."""

    def __init__(self, expectation: keras.Model, seed: int) -> None:
        super().__init__()
        self.expectation = expectation
        self.factor = next(layer.pool_size[0] for layer in expectation.layers if hasattr(layer, "pool_size"))
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        """Draw; without training, return the expectation of what is drawn."""
        if not training:
            return self.expectation(inputs)
        values = _windows(inputs, self.factor)
        noise = keras.random.uniform(ops.shape(values), TINY, 1.0 - TINY, dtype="float32", seed=self.generator)
        # the largest of log p plus Gumbel noise is a draw with probabilities p
        scores = ops.log(ops.abs(ops.cast(values, "float32")) + TINY) - ops.log(-ops.log(noise))
        chosen = ops.one_hot(ops.argmax(scores, axis=-1), values.shape[-1], dtype=values.dtype)
        return ops.cast(ops.sum(values * chosen, axis=-1), "float32")


def expected_pooling(x: keras.KerasTensor, factor: int, place: int) -> keras.KerasTensor:
    """Return the expectation of stochastic pooling: the mean of each window, weighted by magnitudes."""
    inputs = keras.Input(x.shape[1:])
    magnitudes = ops.abs(ops.cast(inputs, "float32"))
    pool = keras.layers.AveragePooling2D(factor, dtype="float32")
    weighted = pool(ops.cast(inputs, "float32") * magnitudes) / ops.maximum(pool(magnitudes), TINY)
    pooled = keras.Model(inputs, weighted, name=f"{POOLING}_{place}")(x)
    return keras.layers.Identity(dtype="float32")(pooled)  # a layer of the network, by whose output a base can end


def l2_pooling(x: keras.KerasTensor, factor: int) -> keras.KerasTensor:
    """Return the root of the mean of squares of each window."""
    squares = ops.square(ops.cast(x, "float32"))
    # the root of 0 has no finite slope
    root = ops.sqrt(keras.layers.AveragePooling2D(factor, dtype="float32")(squares) + TINY**2)
    return keras.layers.Identity(dtype="float32")(root)


def _windows(x: Any, factor: int) -> Any:
    """Return the values of each window of maps as the last axis: (rows, height, width, maps, values)."""
    height, width, maps = (x.shape[1] // factor, x.shape[2] // factor, x.shape[3])
    x = x[:, : height * factor, : width * factor]
    x = ops.reshape(x, (-1, height, factor, width, factor, maps))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 5, 2, 4)), (-1, height, width, maps, factor * factor))
