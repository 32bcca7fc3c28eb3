"""The networks of a generative adversarial network: how they are joined in one body, and what is exported."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tiltyard.modeling.models.gan import Gan as Family
from tiltyard.modeling.problems.sampling import Facts
from tiltyard.training.samplers.base import Sampler

GENERATOR, DISCRIMINATOR = "generator", "discriminator"  # names of the networks inside the body


class Gan(Sampler[Family]):
    """A generator from random numbers to pixels, and a discriminator, which scores rows."""

    def body(self) -> keras.Model:
        """Build both networks, beside each other."""
        family, shape, classes = self.family, self.rows.shape, self.rows.classes
        numbers = keras.Input((family.latent + classes,))
        generator = keras.Model(numbers, family.generate(numbers, shape), name=GENERATOR)
        pictures, flags = keras.Input(shape), keras.Input((classes,)) if classes else None
        inputs = pictures if flags is None else [pictures, flags]
        discriminator = keras.Model(inputs, family.discriminate(pictures, flags), name=DISCRIMINATOR)
        rows = keras.Input((self.rows.width + classes,), name="features")
        pixels = layers.Reshape(shape)(rows[:, : self.rows.width] / self.rows.scale)
        given = rows[:, self.rows.width :]
        nothing = ops.zeros_like(rows[:, :1]) + ops.zeros((1, family.latent))
        picture = generator(ops.concatenate([nothing, given], axis=-1) if classes else nothing)
        verdict = discriminator([pixels, given] if classes else pixels)
        return keras.Model(rows, [verdict, picture])

    def trainer(self, body: keras.Model, steps: int, seed: int) -> keras.Model:
        """Return both networks with what alternating steps need; training/adversarial makes them."""
        from tiltyard.training.adversarial.trainer import AdversarialTrainer

        return AdversarialTrainer(self.family, body.get_layer(GENERATOR), body.get_layer(DISCRIMINATOR))

    def scorer(self, body: keras.Model) -> keras.Model:
        """Return a model from pixels to the probability that they are generated, for the likeliest class."""
        images = keras.Input(self.rows.shape, name="features")
        pixels = layers.Rescaling(1 / self.rows.scale, dtype="float32")(images)
        judge, classes = body.get_layer(DISCRIMINATOR), self.rows.classes
        if not classes:
            return keras.Model(images, ops.sigmoid(-judge(pixels)))
        start = ops.zeros_like(layers.Flatten()(pixels)[:, :1])
        each = [judge([pixels, start + flag]) for flag in np.eye(classes, dtype=np.float32)]
        return keras.Model(images, ops.sigmoid(-ops.max(ops.concatenate(each, axis=-1), axis=-1, keepdims=True)))

    def decoder(self, body: keras.Model) -> keras.Model:
        """Return the generator; its pixels are flat."""
        codes = keras.Input((self.family.latent + self.rows.classes,), name="code")
        return keras.Model(codes, layers.Flatten(dtype="float32")(body.get_layer(GENERATOR)(codes)))

    def facts(self) -> Facts:
        """Return that it encodes nothing."""
        score = "the probability that the picture is a generated one, as the discriminator sees it"
        return Facts(self.family.latent, "normal", score, conditional=bool(self.rows.classes))

    def pictures(self, rows: Any) -> tuple[Any, Any]:
        """Return pixels from 0 to 1 of rows of a training, and the flags of their classes."""
        pixels = rows[:, : self.rows.width].reshape(-1, *self.rows.shape)
        return pixels.astype(np.float32) / np.float32(self.rows.scale), rows[:, self.rows.width :].astype(np.float32)
