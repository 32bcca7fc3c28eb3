"""Shading: numbers by pixel as colours, and laid over the picture that they belong to."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array

SIDE = 96  # pixels of a picture that something is laid over, at least
COLOURS = np.array([[0, 0, 4], [40, 60, 150], [30, 140, 160], [130, 200, 90], [253, 231, 37]], dtype=np.float64)
WIDEST = 255.0
RED, BLUE = np.array([220.0, 30.0, 30.0]), np.array([30.0, 70.0, 220.0])
PALE = 0.35  # of the picture's own light, so that colours stand out


def coloured(values: Array) -> Array:
    """Return a colour for each number: black for nothing, over blue and green to yellow for the most."""
    shares = _shares(values)
    stops = np.linspace(0, 1, len(COLOURS))
    return np.stack([np.interp(shares, stops, COLOURS[:, channel]) for channel in range(3)], axis=-1)


def diverging(values: Array) -> Array:
    """Return a picture in which 0 is grey, more is brighter and less is darker; few values may be beyond the range."""
    most = float(np.quantile(np.abs(values), 0.98)) or float(np.abs(values).max()) or 1.0
    return np.asarray(WIDEST / 2 * (1 + values / most))


def overlay(picture: Array, values: Array) -> Array:
    """Lay numbers over a picture, which is made large enough to be seen below them."""
    times = max(1, -(-SIDE // max(picture.shape[:2])))
    large = np.kron(picture, np.ones((times, times, 1)))
    large = np.repeat(large, 3, axis=-1) if large.shape[-1] == 1 else large
    smooth = enlarged(values[None], large.shape[:2])[0]
    weight = 0.7 * _shares(smooth)[..., None] ** 0.5  # where there is nothing to tell, the picture is left as it is
    return np.asarray((1 - weight) * large + weight * coloured(smooth))


def signed_overlay(picture: Array, weights: Array) -> Array:
    """Lay numbers over a picture of the same size: red where something speaks for an answer, blue where against it."""
    most = float(np.abs(weights).max()) or 1.0
    share = np.abs(weights)[..., None] / most
    below = WIDEST * (1 - PALE) + PALE * picture.mean(axis=-1, keepdims=True)
    found: Array = (1 - share) * below + share * np.where(weights[..., None] >= 0, RED, BLUE)
    return found


def enlarged(maps: Array, size: tuple[int, ...]) -> Array:
    """Bring maps, (rows, height, width, ...), to another size; between their middles by straight lines."""
    for axis, length in enumerate(size, start=1):
        given = maps.shape[axis]
        places = np.clip((np.arange(length) + 0.5) * given / length - 0.5, 0, given - 1)
        low = np.floor(places).astype(int)
        high, share = np.minimum(low + 1, given - 1), places - low
        share = share.reshape(-1, *[1] * (maps.ndim - axis - 1))
        maps = np.take(maps, low, axis) * (1 - share) + np.take(maps, high, axis) * share
    return maps


def _shares(values: Array) -> Array:
    most = float(values.max())
    return np.clip(values / most, 0, 1) if most > 0 else np.zeros(values.shape)
