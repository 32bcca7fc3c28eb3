"""Changes of pictures that Keras lacks, or makes otherwise: one draw for a whole batch, or out of the range."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import keras
from keras import ops

HIGHEST = 255.0  # of a pixel
GREY = (0.299, 0.587, 0.114)  # what the eye makes of red, green and blue


class Distortion(keras.layers.Layer):  # type: ignore[misc]
    """A change made anew for each picture, in training only; its random state is part of the model's."""

    def __init__(self, amount: float, seed: int) -> None:
        super().__init__()
        self.amount = amount
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, pictures: Any, training: bool = False) -> Any:  # noqa: D102 - Keras' own
        return self.change(pictures) if training else pictures

    @abstractmethod
    def change(self, pictures: Any) -> Any:
        """Change a batch of pictures."""

    def draw(self, pictures: Any, low: float, high: float) -> Any:
        """Return a number for each picture, shaped to be multiplied with all its pixels."""
        return keras.random.uniform((ops.shape(pictures)[0], 1, 1, 1), low, high, seed=self.generator)


class Crop(Distortion):
    """Black around the picture, and of that a part of the old size, each picture's at a place of its own."""

    def change(self, pictures: Any) -> Any:
        """Cut along one side, then along the other."""
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
    """Colours nearer to grey, or further from it."""

    def change(self, pictures: Any) -> Any:
        """Stretch the distance from grey; Keras' own multiplies HSV's saturation beyond 1."""
        grey = ops.sum(pictures * ops.array(GREY), axis=-1, keepdims=True)
        share = self.draw(pictures, 1 - self.amount, 1 + self.amount)
        return ops.clip(grey + share * (pictures - grey), 0.0, HIGHEST)


class Noise(Distortion):
    """Gaussian noise that leaves pixels in their range."""

    def change(self, pictures: Any) -> Any:
        """Add, then clip."""
        noise = keras.random.normal(ops.shape(pictures), stddev=self.amount * HIGHEST, seed=self.generator)
        return ops.clip(pictures + noise, 0.0, HIGHEST)
