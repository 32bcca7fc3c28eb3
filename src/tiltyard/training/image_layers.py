"""Augmentation layers for images that Keras lacks, or that draw once per batch or leave the pixel range."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import keras
from keras import ops

HIGHEST = 255.0  # of a pixel
GREY = (0.299, 0.587, 0.114)  # luminance weights of red, green and blue
REACH = 3.0  # standard deviations of a Gaussian blur that are summed
DETAIL = 1.0  # standard deviation in pixels below which sharpening finds details


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


class Shear(Distortion):
    """Random horizontal shear about the centre; what comes from outside of the image is black."""

    def change(self, images: Any) -> Any:
        """Move each row of pixels by its distance from the centre times the tangent of the angle."""
        angle = self.draw(images, -self.amount, self.amount) * (math.pi / 180)
        return shear(images, ops.tan(angle))


class ChannelShift(Distortion):
    """A random change of each channel by itself, clipped to the pixel range."""

    def change(self, images: Any) -> Any:
        """Add a number for each image and channel."""
        shape = (ops.shape(images)[0], 1, 1, images.shape[-1])
        offsets = keras.random.uniform(shape, -self.amount * HIGHEST, self.amount * HIGHEST, seed=self.generator)
        return ops.clip(images + offsets, 0.0, HIGHEST)


class Blur(Distortion):
    """Gaussian blur of a random standard deviation per image; Keras' own layer draws one for the whole batch."""

    def change(self, images: Any) -> Any:
        """Blur by at most the amount."""
        return blur(images, self.draw(images, 0.0, self.amount), self.amount)


class Sharpen(Distortion):
    """Unsharp masking: a random multiple of the difference from a blurred copy is added, then clipped."""

    def change(self, images: Any) -> Any:
        """Add details; a constant image has none."""
        details = images - blur(images, DETAIL, DETAIL)
        return ops.clip(images + self.draw(images, 0.0, self.amount) * details, 0.0, HIGHEST)


class Overlay(Distortion):
    """Lay another image of the batch over each image, faintly, so that the label stays the same."""

    def change(self, images: Any) -> Any:
        """Mix each image with a random one of the batch, by a share of its own."""
        order = ops.argsort(keras.random.uniform((ops.shape(images)[0],), seed=self.generator))
        share = self.draw(images, 0.0, self.amount)
        return (1 - share) * images + share * ops.take(images, order, axis=0)


def shear(images: Any, slope: Any) -> Any:
    """Move row y of each image to the left by slope * (y - centre), between pixels by linear interpolation."""
    height, width = images.shape[1:3]
    rows = ops.reshape(ops.arange(height, dtype="float32") - (height - 1) / 2, (1, height, 1, 1))
    places = ops.reshape(ops.arange(width, dtype="float32"), (1, 1, width, 1)) + slope * rows
    left = ops.floor(places)
    share = places - left
    return (1 - share) * _pixels(images, left) + share * _pixels(images, left + 1)


def _pixels(images: Any, columns: Any) -> Any:
    """Return the pixels of each row at these columns; black outside."""
    last = images.shape[2] - 1
    inside = ops.cast(ops.logical_and(columns >= 0, columns <= last), images.dtype)
    return ops.take_along_axis(images, ops.cast(ops.clip(columns, 0, last), "int32"), axis=2) * inside


def blur(images: Any, deviation: Any, largest: float) -> Any:
    """Blur by a Gaussian of this standard deviation in pixels, at most `largest`; the mean of an image stays.

    Beyond its edges an image is mirrored, edge pixels included: then no light is lost.
    """
    for axis in (1, 2):
        size = images.shape[axis]
        reach = min(math.ceil(REACH * largest), size)
        weights = [ops.exp(-(step**2) / (2 * deviation**2 + 1e-6)) for step in range(-reach, reach + 1)]
        edges = [(0, 0)] * 4
        edges[axis] = (reach, reach)
        padded = ops.pad(images, edges, mode="symmetric")
        shifted = [ops.take(padded, ops.arange(start, start + size), axis=axis) for start in range(2 * reach + 1)]
        images = sum(weight * part for weight, part in zip(weights, shifted, strict=True)) / sum(weights)
    return images
