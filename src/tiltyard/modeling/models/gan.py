"""Generative adversarial network (GAN): a convolutional generator of pictures, and a discriminator that judges them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models.base import Model

if TYPE_CHECKING:
    import keras

STRIDE = 2  # of a convolution: each halves height and width
SLOPE = 0.2  # of the discriminator's leaky ReLU
KERNEL = 4  # a multiple of the stride: no checkerboard


class Gan(Model):
    """A deep convolutional GAN; with a condition, each picture is drawn for a class."""

    modalities: ClassVar = ("image",)
    generates: ClassVar = True
    adversarial: ClassVar = True
    one_output_layer: ClassVar = False

    family: Literal["gan"]
    latent: int = Field(64, ge=1, le=1024, description="How many random numbers a picture is made from.")
    filters: list[int] = Field(
        [32, 64],
        min_length=1,
        max_length=5,
        description="Filters of each convolution of the discriminator, with stride 2; the generator has them reversed.",
    )
    conditional: bool = Field(default=False, description="Also give both networks the class, one of target.classes.")
    loss: Literal["non_saturating", "hinge"] = Field(
        "non_saturating", description="Binary cross-entropy whose gradient does not vanish for bad samples, or hinge."
    )
    smoothing: float = Field(
        0.1, ge=0, lt=0.5, description="non_saturating: real pictures are to be judged 1 minus this (one-sided)."
    )
    gradient_penalty: float = Field(
        0.0, ge=0, description="Weight of the discriminator's squared gradient at real pictures (R1)."
    )
    spectral_norm: bool = Field(default=False, description="Divide the discriminator's weights by their largest norm.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout after each convolution of the discriminator.")
    average: float = Field(
        0.999, ge=0, lt=1, description="Decay of the moving average of the generator's weights, which is served."
    )
    discriminator_rate: float = Field(
        1.0, gt=0, le=100, description="Learning rate of the discriminator, as a multiple of train.learning_rate."
    )

    @property
    def code_size(self) -> int:
        """The number of random numbers."""
        return self.latent

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Refuse to build a network that reads rows: a generator reads random numbers."""
        raise ValueError("gan reads random numbers, not rows")

    def generate(self, numbers: keras.KerasTensor, shape: tuple[int, ...]) -> keras.KerasTensor:
        """Add layers from random numbers, and the flags of a class beside them, to pixels from 0 to 1."""
        from keras import layers

        height, width, channels = shape
        times = STRIDE ** len(self.filters)
        start = math.ceil(height / times), math.ceil(width / times), self.filters[-1]
        x = layers.Dense(math.prod(start), use_bias=False)(numbers)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(layers.Reshape(start)(x)))
        for filters in self.filters[-2::-1]:
            x = layers.Conv2DTranspose(filters, KERNEL, STRIDE, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.Conv2DTranspose(channels, KERNEL, STRIDE, padding="same")(x)
        excess = [(0, size - limit) for size, limit in zip(x.shape[1:3], (height, width), strict=True)]
        x = layers.Cropping2D(excess)(x) if any(end for _, end in excess) else x
        return layers.Activation("sigmoid", dtype="float32", name="output")(x)

    def discriminate(self, pictures: keras.KerasTensor, condition: keras.KerasTensor | None) -> keras.KerasTensor:
        """Add layers from pixels from 0 to 1 to one number, above 0 for real; with a condition by projection.

        Projection (Miyato and Koyama, 2018) adds the product of the features with a vector of the class.
        """
        from keras import layers, ops

        x = layers.Rescaling(2.0, -1.0)(pictures)
        for filters in self.filters:
            x = layers.LeakyReLU(SLOPE)(self._normal(layers.Conv2D(filters, KERNEL, STRIDE, padding="same"))(x))
            x = layers.Dropout(self.dropout)(x) if self.dropout else x
        x = layers.Flatten()(x)
        verdict = self._normal(layers.Dense(1))(x)
        if condition is None:
            return verdict
        classes = self._normal(layers.Dense(x.shape[-1], use_bias=False))(condition)
        return verdict + ops.sum(classes * x, axis=-1, keepdims=True)

    def _normal(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        from keras import layers

        return layers.SpectralNormalization(layer) if self.spectral_norm else layer
