"""Histograms of the colours and edges of images: features that a few dozen images suffice to learn from.

The same code computes them with NumPy, for references, and with keras.ops inside a graph. It uses no operation that
jumps (argmax, floor), so that both agree to the last digits, and a little noise changes little.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tiltyard.arrays import Array

LEVELS = 4  # of each colour channel: 64 joint bins
GREYS = 16
ORIENTATIONS = 8
STRENGTHS = 8  # bins of the strength of edges
SCALES, SMALLEST = (1, 2, 4), 8  # images are reduced by these factors while their sides have so many pixels
MAX_SIDE, MAX_COLOUR_SIDE = 64, 32  # pixels; larger images are reduced before edges and colours are counted
GRID = 4  # cells on each side, for mean colours
MAX_CELLS, CELL = 7, 2  # cells on each side for edges, and their smallest width in pixels
TINY = 1e-6


def histograms(pixels: Any, ops: Any = np, *, places: bool = False) -> Any:
    """Return one row of features for each image; `pixels` are from 0 to 1, of shape (rows, height, width, channels).

    Without `places`, colours and edges are counted wherever they are, which suits photos; with them, also for each cell
    of a grid, which suits images of one object in the same position.
    """
    return ops.concatenate([counts(pixels, ops), *([counts_by_place(pixels, ops)] if places else [])], axis=-1)


def _within(pixels: Any, max_side: int, ops: Any) -> Any:
    """Return images whose sides have at most so many pixels, reduced by a whole number: it bounds time and memory."""
    factor = -(-max(pixels.shape[1:3]) // max_side)
    if factor == 1:
        return pixels
    return ops.stack([_reduced(pixels[..., channel], factor, ops) for channel in range(pixels.shape[3])], axis=-1)


def counts(pixels: Any, ops: Any) -> Any:
    """Return histograms of colours and edges of whole images."""
    pixels = _within(pixels, MAX_SIDE, ops)
    _, height, width, channels = pixels.shape
    grey = ops.mean(pixels, axis=-1)
    coarse = _within(pixels, MAX_COLOUR_SIDE, ops)
    parts = [_colours(coarse, ops) if channels == 3 else _levels(coarse[..., 0], GREYS, ops)]
    scales = [scale for scale in SCALES if scale == 1 or min(height, width) // scale >= SMALLEST]
    parts += [_textures(_reduced(grey, scale, ops), ops) for scale in scales]
    return ops.concatenate(parts, axis=-1)


def counts_by_place(pixels: Any, ops: Any) -> Any:
    """Return mean colours and edges for each cell of a grid."""
    pixels = _within(pixels, MAX_SIDE, ops)
    _, height, width, _ = pixels.shape
    edges = _local_edges(ops.mean(pixels, axis=-1), (_cells(height), _cells(width)), ops)
    return ops.concatenate([_grid_means(pixels, ops), edges], axis=-1)


def _cells(side: int) -> int:
    return max(1, min(MAX_CELLS, side // CELL))


def _bins(values: Any, count: int, ops: Any) -> Any:
    """Return the share of each value in each bin: bins overlap, and the shares of a value sum to 1."""
    centres = np.arange(count, dtype=np.float32)
    return ops.maximum(1.0 - ops.abs(values[..., None] * (count - 1.0) - centres), 0.0)


def _levels(grey: Any, count: int, ops: Any) -> Any:
    """Return the square root of a histogram of the grey values."""
    flat = ops.reshape(grey, (-1, math.prod(grey.shape[1:])))
    return ops.sqrt(ops.mean(_bins(flat, count, ops), axis=1) + TINY)


def _colours(pixels: Any, ops: Any) -> Any:
    """Return the square root of the joint histogram of three channels."""
    _, height, width, channels = pixels.shape
    flat = ops.reshape(pixels, (-1, height * width, channels))
    red, green, blue = (_bins(flat[..., channel], LEVELS, ops) for channel in range(3))
    pairs = ops.reshape(red[..., None] * green[..., None, :], (-1, height * width, LEVELS**2))
    joint = ops.matmul(ops.swapaxes(pairs, 1, 2), blue) / (height * width)
    return ops.sqrt(ops.reshape(joint, (-1, LEVELS**3)) + TINY)


def _grid_means(pixels: Any, ops: Any) -> Any:
    """Return the mean colour of each cell of a coarse grid."""
    _, height, width, channels = pixels.shape
    cells = (min(GRID, height), min(GRID, width))
    means = [_pooled(pixels[..., channel], cells, ops) for channel in range(channels)]
    return ops.concatenate(means, axis=-1)


def _edges(grey: Any, ops: Any) -> tuple[Any, list[Any]]:
    """Return the strength of the edge at each pixel, and the part of it that each orientation has."""
    across = ops.concatenate([grey[:, :, 1:], grey[:, :, -1:]], axis=2) - grey
    down = ops.concatenate([grey[:, 1:], grey[:, -1:]], axis=1) - grey
    strength = ops.sqrt(ops.square(across) + ops.square(down) + TINY**2)
    cosine = (ops.square(across) - ops.square(down)) / ops.square(strength)  # of twice the angle: edges have no sign
    sine = 2.0 * across * down / ops.square(strength)
    angles = [2 * math.pi * place / ORIENTATIONS for place in range(ORIENTATIONS)]
    return strength, [
        ops.square(ops.square(ops.maximum(math.cos(angle) * cosine + math.sin(angle) * sine, 0.0))) * strength
        for angle in angles
    ]


def _textures(grey: Any, ops: Any) -> Any:
    """Return the strength of edges by orientation, and the histogram of their strength."""
    strength, responses = _edges(grey, ops)
    means = ops.stack([ops.mean(response, axis=(1, 2)) for response in responses], axis=-1)
    shares = means / (ops.sum(means, axis=-1, keepdims=True) + TINY)
    roots = ops.sqrt(ops.minimum(strength, 1.0))  # weak edges are most: their bins are narrower
    return ops.concatenate([ops.sqrt(means + TINY), ops.sqrt(shares + TINY), _levels(roots, STRENGTHS, ops)], axis=-1)


def _local_edges(grey: Any, cells: tuple[int, int], ops: Any) -> Any:
    """Return the strength of edges by cell and orientation, relative to the image."""
    _, responses = _edges(grey, ops)
    local = ops.sqrt(ops.concatenate([_pooled(response, cells, ops) for response in responses], axis=-1) + TINY)
    return local / ops.sqrt(ops.mean(ops.square(local), axis=-1, keepdims=True) + TINY)


def _reduced(grey: Any, scale: int, ops: Any) -> Any:
    """Return smaller images."""
    if scale == 1:
        return grey
    _, height, width = grey.shape
    cells = (max(1, height // scale), max(1, width // scale))
    return ops.reshape(_pooled(grey, cells, ops), (-1, *cells))


def _pooled(plane: Any, cells: tuple[int, int], ops: Any) -> Any:
    """Return the mean of each cell, (rows, cells); pixels at the border of cells count to both, by their share."""
    _, height, width = plane.shape
    rows, columns = _shares(height, cells[0]), _shares(width, cells[1])
    means = ops.matmul(ops.matmul(rows, plane), columns.T)
    return ops.reshape(means, (-1, cells[0] * cells[1]))


def _shares(side: int, cells: int) -> Array:
    """Return the weight of each pixel in the mean of each cell."""
    edges = np.linspace(0, side, cells + 1)
    low, high = edges[:-1, None], edges[1:, None]
    pixels = np.arange(side)[None]
    overlap = np.clip(np.minimum(high, pixels + 1) - np.maximum(low, pixels), 0, 1)
    return np.asarray(overlap * cells / side, dtype=np.float32)
