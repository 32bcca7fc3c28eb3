"""Heat maps: values by pixel as colours, alone or overlaid on an image."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array

MIN_OVERLAY_SIDE = 96  # pixels: smaller images are enlarged before an overlay
COLOUR_MAP = np.array([[0, 0, 4], [40, 60, 150], [30, 140, 160], [130, 200, 90], [253, 231, 37]], dtype=np.float64)
MAX_PIXEL = 255.0
RED, BLUE = np.array([220.0, 30.0, 30.0]), np.array([30.0, 70.0, 220.0])
BACKGROUND_CONTRAST = 0.35  # share of the image's own contrast that is kept, so that colours stand out


def to_colours(values: Array) -> Array:
    """Return a colour for each value: black for zero, over blue and green to yellow for the largest."""
    shares = _normalize(values)
    stops = np.linspace(0, 1, len(COLOUR_MAP))
    return np.stack([np.interp(shares, stops, COLOUR_MAP[:, channel]) for channel in range(3)], axis=-1)


def diverging(values: Array) -> Array:
    """Return grey levels with 0 as mid-grey, scaled by the 98 % quantile: a few values may exceed the range."""
    maximum = float(np.quantile(np.abs(values), 0.98)) or float(np.abs(values).max()) or 1.0
    return np.asarray(MAX_PIXEL / 2 * (1 + values / maximum))


def overlay(image: Array, values: Array) -> Array:
    """Overlay values on an image, which is enlarged to a readable size."""
    factor = max(1, -(-MIN_OVERLAY_SIDE // max(image.shape[:2])))
    enlarged = np.kron(image, np.ones((factor, factor, 1)))
    enlarged = np.repeat(enlarged, 3, axis=-1) if enlarged.shape[-1] == 1 else enlarged
    smooth = resize(values[None], enlarged.shape[:2])[0]
    weight = 0.7 * _normalize(smooth)[..., None] ** 0.5  # where values are zero, the image stays as it is
    return np.asarray((1 - weight) * enlarged + weight * to_colours(smooth))


def signed_overlay(image: Array, weights: Array) -> Array:
    """Overlay values on an image of the same size: red for positive values, blue for negative ones."""
    maximum = float(np.abs(weights).max()) or 1.0
    share = np.abs(weights)[..., None] / maximum
    base = MAX_PIXEL * (1 - BACKGROUND_CONTRAST) + BACKGROUND_CONTRAST * image.mean(axis=-1, keepdims=True)
    blended: Array = (1 - share) * base + share * np.where(weights[..., None] >= 0, RED, BLUE)
    return blended


def resize(maps: Array, size: tuple[int, ...]) -> Array:
    """Resize maps (rows, height, width, ...) by linear interpolation between pixel centres."""
    for axis, length in enumerate(size, start=1):
        source = maps.shape[axis]
        patches = np.clip((np.arange(length) + 0.5) * source / length - 0.5, 0, source - 1)
        low = np.floor(patches).astype(int)
        high, share = np.minimum(low + 1, source - 1), patches - low
        share = share.reshape(-1, *[1] * (maps.ndim - axis - 1))
        maps = np.take(maps, low, axis) * (1 - share) + np.take(maps, high, axis) * share
    return maps


def _normalize(values: Array) -> Array:
    maximum = float(values.max())
    return np.clip(values / maximum, 0, 1) if maximum > 0 else np.zeros(values.shape)
