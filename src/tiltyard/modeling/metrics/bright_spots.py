"""Bright spots: connected pixels above a brightness, as a baseline for detection that learns nothing."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array

BRIGHT = 0.5  # of the brightest pixel of a picture
LEAST_PIXELS = 6  # of a spot
BATCH = 256  # pictures at a time


def boxes(pictures: Array, most: int) -> list[Array]:
    """Return the boxes of the spots of each picture, the largest ones first, at most so many."""
    found = list[Array]()
    for start in range(0, len(pictures), BATCH):
        grey = pictures[start : start + BATCH].astype(np.float32).mean(axis=-1)
        bright = grey >= BRIGHT * np.maximum(grey.max(axis=(1, 2), keepdims=True), 1)
        found += [_boxes(numbers, most) for numbers in components(bright)]
    return found


def components(bright: Array) -> Array:
    """Number the connected bright pixels of each picture, corners included; 0 elsewhere."""
    _, height, width = bright.shape
    numbers = np.where(bright, np.arange(1, height * width + 1, dtype=np.int32).reshape(height, width), 0)
    while True:  # the largest number of a spot spreads to all of its pixels
        padded = np.pad(numbers, ((0, 0), (1, 1), (1, 1)))
        across = np.maximum(np.maximum(padded[:, :, :-2], padded[:, :, 2:]), padded[:, :, 1:-1])
        spread = np.maximum(np.maximum(across[:, :-2], across[:, 2:]), across[:, 1:-1]) * bright
        if np.array_equal(spread, numbers):
            return numbers
        numbers = spread


def _boxes(numbers: Array, most: int) -> Array:
    found = list[tuple[int, int, int, int, int]]()
    y, x = np.nonzero(numbers)
    values = numbers[y, x]
    for number in np.unique(values):
        own = values == number
        if own.sum() >= LEAST_PIXELS:
            left, top, right, bottom = x[own].min(), y[own].min(), x[own].max() + 1, y[own].max() + 1
            found.append((-int((right - left) * (bottom - top)), int(left), int(top), int(right), int(bottom)))
    return np.array([one[1:] for one in sorted(found)[:most]], dtype=np.float32).reshape(-1, 4)


def scores(found: Array, size: tuple[int, ...]) -> Array:
    """Return the share of the picture that each box covers, as its score."""
    return np.asarray((found[:, 2:] - found[:, :2]).prod(axis=1) / (size[0] * size[1]))
