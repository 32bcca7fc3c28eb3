"""A heat map over a picture: red where something speaks for an answer, blue where it speaks against it."""

from __future__ import annotations

import numpy as np

from tiltyard.column import Array

RED, BLUE = np.array([220.0, 30.0, 30.0]), np.array([30.0, 70.0, 220.0])
PALE = 0.35  # of the picture's own light, so that colours stand out


def heat(picture: Array, weights: Array) -> Array:
    """Give (height, width, 3) from a picture (height, width, channels) and a weight for each of its pixels."""
    most = float(np.abs(weights).max()) or 1.0
    share = np.abs(weights)[..., None] / most
    below = 255 * (1 - PALE) + PALE * picture.mean(axis=-1, keepdims=True)
    found: Array = (1 - share) * below + share * np.where(weights[..., None] >= 0, RED, BLUE)
    return found
