"""Training of variational autoencoders: binary rows drawn anew in each epoch, and codes drawn from their posterior.

The loss is the negative lower bound of the log-likelihood (ELBO) in nats: the reconstruction of the binary row, and the
divergence of the code's distribution from the prior.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tiltyard.arrays import Array
from tiltyard.modeling.models._random_layers import MAX_LOG_VARIANCE
from tiltyard.modeling.models.vae import Vae as Family
from tiltyard.modeling.problems.sampling import Facts
from tiltyard.training.samplers.base import Sampler

ENCODER, DECODER = "encoder", "decoder"  # names of the networks inside the body


class Vae(Sampler[Family]):
    """An encoder to mean and log-variance of the code, and a decoder to the logits of the pixels."""

    def body(self) -> keras.Model:
        """Build encoder and decoder, joined by the mean of the code."""
        family, rows, code = self.family, self.rows, self.family.code
        features = keras.Input((rows.width,))
        x = family.build(features)
        spread = layers.Dense(code, dtype="float32", name="log_variance", **family.weights())(x)
        spread = ops.clip(spread, -MAX_LOG_VARIANCE, MAX_LOG_VARIANCE)
        mean = layers.Dense(code, dtype="float32", name="mean", **family.weights())(x)
        encoder = keras.Model(features, [mean, spread], name=ENCODER)
        codes = keras.Input((code + rows.classes,))
        x = family.add_dense_layers(codes, family.units[::-1])
        decoder = keras.Model(codes, layers.Dense(rows.width, dtype="float32", name="logits")(x), name=DECODER)
        inputs = keras.Input((rows.width + rows.classes,), name="features")
        mean, spread = encoder(self._scaled(inputs))
        logits = decoder(ops.concatenate([mean, inputs[:, rows.width :]], axis=-1))
        return keras.Model(inputs, ops.concatenate([logits, mean, spread], axis=-1))

    def trainer(self, body: keras.Model, steps: int, seed: int) -> keras.Model:
        """Return a model from rows to reconstruction error and divergence of each, in nats."""
        inputs = keras.Input((self.rows.width + self.rows.classes,), name="features")
        binary = Binarise(seed)(self._scaled(inputs))
        mean, spread = body.get_layer(ENCODER)(binary)
        code = DrawCode(seed + 1)([mean, spread])
        logits = body.get_layer(DECODER)(ops.concatenate([code, inputs[:, self.rows.width :]], axis=-1))
        weighted = WarmUp(self.family.warm_up * steps)(divergence(mean, spread))
        return BoundTrainer(inputs, ops.stack([cross_entropy(binary, logits), weighted], axis=-1))

    def scorer(self, body: keras.Model) -> keras.Model:
        """Return a model from pixels to reconstruction, mean, log-variance, and the error in nats at the mean."""
        images = keras.Input(self.rows.shape, name="features")
        pixels = layers.Rescaling(1 / self.rows.scale, dtype="float32")(layers.Flatten(dtype="float32")(images))
        mean, spread = body.get_layer(ENCODER)(pixels)
        logits = self._best_logits(body, pixels, mean)
        error = ops.expand_dims(cross_entropy(pixels, logits) + divergence(mean, spread), -1)
        return keras.Model(images, ops.concatenate([ops.sigmoid(logits), mean, spread, error], axis=-1))

    def decoder(self, body: keras.Model) -> keras.Model:
        """Return a model from codes to the probability of each pixel."""
        codes = keras.Input((self.family.code + self.rows.classes,), name="code")
        return keras.Model(codes, ops.sigmoid(body.get_layer(DECODER)(codes)))

    def facts(self) -> Facts:
        """Return that it encodes, with a posterior."""
        score = "the error of the reconstruction plus the divergence of the code from the prior, in nats"
        conditional = bool(self.rows.classes)
        return Facts(self.family.code, "normal", score, conditional=conditional, encodes=True, posterior=True)

    def floors(self) -> Array:
        """Return the sizes of pixels, of the numbers of the posterior (deviations of the prior), and of the error."""
        return np.repeat([1e-1, 1.0, 1.0], [self.rows.width, 2 * self.family.code, 1])

    def validation(self, features: Array, seed: int) -> Array:
        """Return binary rows, so that losses of epochs compare: they are drawn once."""
        drawn = np.random.default_rng(seed).random(features.shape) < features / self.rows.scale
        return drawn * np.asarray(self.rows.scale, dtype=np.float32)

    def _scaled(self, inputs: Any) -> Any:
        return layers.Rescaling(1 / self.rows.scale, dtype="float32")(inputs[:, : self.rows.width])

    def _best_logits(self, body: keras.Model, pixels: Any, mean: Any) -> Any:
        """Decode the mean; a conditional model once for each class, of which that with the smallest error counts."""
        decode, classes = body.get_layer(DECODER), self.rows.classes
        if not classes:
            return decode(mean)
        flags = np.eye(classes, dtype=np.float32)
        each = [decode(ops.concatenate([mean, ops.zeros_like(mean[:, :1]) + flag], axis=-1)) for flag in flags]
        errors = ops.stack([cross_entropy(pixels, logits) for logits in each], axis=-1)
        # not argmin, which cannot be exported; equal errors share
        best = ops.cast(ops.less_equal(errors, ops.min(errors, axis=-1, keepdims=True)), "float32")
        best = best / ops.sum(best, axis=-1, keepdims=True)
        return ops.sum(ops.stack(each, axis=-1) * best[:, None, :], axis=-1)


class BoundTrainer(keras.Model):  # type: ignore[misc]
    """A model whose outputs are the parts of the bound of each row."""

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the mean negative bound, with penalties of weights in training."""
        loss = ops.mean(ops.sum(y_pred, axis=-1))
        return loss + sum(self.losses) if self.losses else loss


class Binarise(layers.Layer):  # type: ignore[misc]
    """Draw each pixel as 0 or 1, with its brightness as the probability."""

    def __init__(self, seed: int) -> None:
        super().__init__(dtype="float32")
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, pixels: Any) -> Any:  # noqa: D102 - Keras' own
        drawn = keras.random.uniform(ops.shape(pixels), seed=self.generator)
        return ops.cast(ops.less(drawn, pixels), "float32")


class DrawCode(layers.Layer):  # type: ignore[misc]
    """Draw a code from the normal distribution with a mean and log-variance for each number."""

    def __init__(self, seed: int) -> None:
        super().__init__(dtype="float32")
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, parts: Any) -> Any:  # noqa: D102 - Keras' own
        mean, spread = parts
        return mean + ops.exp(spread / 2) * keras.random.normal(ops.shape(mean), seed=self.generator)


class WarmUp(layers.Layer):  # type: ignore[misc]
    """Multiply by a weight that rises from 0 to 1 within so many training steps; outside of training it is 1."""

    def __init__(self, steps: int) -> None:
        super().__init__(dtype="float32")
        self.steps = steps
        self.step = self.add_weight(shape=(), initializer="zeros", trainable=False, name="step")

    def call(self, values: Any, training: bool = False) -> Any:  # noqa: D102 - Keras' own
        if not training or not self.steps:
            return values
        weight = ops.minimum(self.step / self.steps, 1.0)
        self.step.assign(self.step + 1)
        return weight * values


def cross_entropy(pixels: Any, logits: Any) -> Any:
    """Return the negative log-likelihood of each row, in nats: softplus(l) - x l, which does not overflow."""
    return ops.sum(ops.softplus(logits) - pixels * logits, axis=-1)


def divergence(mean: Any, spread: Any) -> Any:
    """Return the Kullback-Leibler divergence of each code's distribution from the standard normal one."""
    return ops.sum(ops.exp(spread) + ops.square(mean) - 1 - spread, axis=-1) / 2
