"""Augmentation layers for images that Keras lacks, or that draw once per batch or leave the pixel range."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import keras
from keras import ops

HIGHEST = 255.0  # of a pixel
GREY = (0.299, 0.587, 0.114)  # luminance weights of red, green and blue


class Distortion(keras.layers.Layer):  # type: ignore[misc]
    """A random change of each image, in training only; its random state is saved with the model."""

    def __init__(self, amount: float, seed: int) -> None:
        super().__init__()
        self.amount = amount
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:  # noqa: D102 - Keras' own
        return self.change(images) if training else images

    @abstractmethod
    def change(self, images: Any) -> Any:
        """Change a batch of images."""

    def draw(self, images: Any, low: float, high: float) -> Any:
        """Draw a number for each image, shaped to broadcast over its pixels."""
        return keras.random.uniform((ops.shape(images)[0], 1, 1, 1), low, high, seed=self.generator)


class Crop(Distortion):
    """Random crop: pad with black, then crop to the old size at a random position per image."""

    def change(self, images: Any) -> Any:
        """Crop along one axis, then along the other."""
        edge = int(self.amount)
        padded = ops.pad(images, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
        for axis in (1, 2):
            start = ops.floor(self.draw(images, 0, 2 * edge + 1))
            shape = [1, 1, 1, 1]
            shape[axis] = images.shape[axis]
            places = ops.cast(start, "int32") + ops.reshape(ops.arange(images.shape[axis]), shape)
            padded = ops.take_along_axis(padded, places, axis=axis)
        return padded


class Saturation(Distortion):
    """Random saturation: move colours towards grey or away from it."""

    def change(self, images: Any) -> Any:
        """Scale the distance from grey; Keras' own layer multiplies the HSV saturation beyond 1."""
        grey = ops.sum(images * ops.array(GREY), axis=-1, keepdims=True)
        share = self.draw(images, 1 - self.amount, 1 + self.amount)
        return ops.clip(grey + share * (images - grey), 0.0, HIGHEST)


class Noise(Distortion):
    """Gaussian noise, clipped to the pixel range."""

    def change(self, images: Any) -> Any:
        """Add, then clip."""
        noise = keras.random.normal(ops.shape(images), stddev=self.amount * HIGHEST, seed=self.generator)
        return ops.clip(images + noise, 0.0, HIGHEST)
