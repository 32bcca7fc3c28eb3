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

    def call(self, pictures: Any, training: bool = False) -> Any:  # noqa: D102 - Keras' own
        return self.change(pictures) if training else pictures

    @abstractmethod
    def change(self, pictures: Any) -> Any:
        """Change a batch of images."""

    def draw(self, pictures: Any, low: float, high: float) -> Any:
        """Draw a number for each image, shaped to broadcast over its pixels."""
        return keras.random.uniform((ops.shape(pictures)[0], 1, 1, 1), low, high, seed=self.generator)


class Crop(Distortion):
    """Random crop: pad with black, then crop to the old size at a random position per image."""

    def change(self, pictures: Any) -> Any:
        """Crop along one axis, then along the other."""
        edge = int(self.amount)
        padded = ops.pad(pictures, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
        for axis in (1, 2):
            start = ops.floor(self.draw(pictures, 0, 2 * edge + 1))
            shape = [1, 1, 1, 1]
            shape[axis] = pictures.shape[axis]
            places = ops.cast(start, "int32") + ops.reshape(ops.arange(pictures.shape[axis]), shape)
            padded = ops.take_along_axis(padded, places, axis=axis)
        return padded


class Saturation(Distortion):
    """Random saturation: move colours towards grey or away from it."""

    def change(self, pictures: Any) -> Any:
        """Scale the distance from grey; Keras' own layer multiplies the HSV saturation beyond 1."""
        grey = ops.sum(pictures * ops.array(GREY), axis=-1, keepdims=True)
        share = self.draw(pictures, 1 - self.amount, 1 + self.amount)
        return ops.clip(grey + share * (pictures - grey), 0.0, HIGHEST)


class Noise(Distortion):
    """Gaussian noise, clipped to the pixel range."""

    def change(self, pictures: Any) -> Any:
        """Add, then clip."""
        noise = keras.random.normal(ops.shape(pictures), stddev=self.amount * HIGHEST, seed=self.generator)
        return ops.clip(pictures + noise, 0.0, HIGHEST)
