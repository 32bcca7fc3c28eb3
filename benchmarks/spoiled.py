"""Anomalies made from normal pictures, by which settings are chosen without any labelled anomaly."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array

SHARE = 0.5  # of the ink that is erased, about


def spoiled(pictures: Array, seed: int = 1) -> dict[str, Array]:
    """Return pictures (rows, side, side) of each kind: parts of two, turned, shuffled, erased, crossed, laid over."""
    rng, side = np.random.default_rng(seed), pictures.shape[1]
    half, other = side // 2, pictures[rng.permutation(len(pictures))]
    halves = pictures.copy()
    halves[:, half:] = other[:, half:]
    turned = np.rot90(pictures, axes=(1, 2)).copy()
    shuffled = np.roll(pictures, (half, half), axis=(1, 2))
    return {
        "halves of two": halves,
        "turned": turned,
        "quarters exchanged": shuffled,
        "half erased": np.stack([_erased(picture, rng) for picture in pictures]),
        "crossed out": np.stack([_crossed(picture, rng) for picture in pictures]),
        "two laid over": np.maximum(pictures, other),
    }


def _erased(picture: Array, rng: np.random.Generator) -> Array:
    """Return a picture without what is on one side of a line through its middle."""
    side, angle = len(picture), rng.uniform(0, 2 * np.pi)
    down, right = np.mgrid[:side, :side] - (side - 1) / 2
    return np.where(np.cos(angle) * down + np.sin(angle) * right > 0, 0, picture)


def _crossed(picture: Array, rng: np.random.Generator) -> Array:
    """Return a picture with another stroke."""
    crossed, side = picture.copy(), len(picture)
    (y0, x0), (y1, x1) = rng.uniform(4, side - 4, (2, 2))
    for place in np.linspace(0, 1, 2 * side):
        y, x = int(y0 + place * (y1 - y0)), int(x0 + place * (x1 - x0))
        crossed[y : y + 2, x : x + 2] = picture.max()
    return crossed
