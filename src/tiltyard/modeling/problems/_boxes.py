"""Boxes [left, top, right, bottom]: their overlap, and non-maximum suppression."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array


def intersection_over_union(first: Array, second: Array) -> Array:
    """Return the common area of each pair of boxes as a share of the area that both cover; shapes are broadcast."""
    corner = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    common = np.clip(corner, 0, None).prod(axis=-1)
    areas = (np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(axis=-1) for boxes in (first, second))
    return np.asarray(common / np.maximum(sum(areas) - common, 1e-12))


def pairs(first: Array, second: Array) -> Array:
    """Return the intersection over union of every box of the first with every box of the second."""
    return intersection_over_union(first[:, None], second[None])


def suppress(boxes: Array, scores: Array, limit: float) -> Array:
    """Return which boxes are kept, best first: each that overlaps no better one that is kept by more than `limit`."""
    order = np.argsort(-scores, kind="stable")
    overlaps, kept = pairs(boxes[order], boxes[order]) > limit, list[int]()
    for place in range(len(order)):
        if not overlaps[place, kept].any():
            kept.append(place)
    return np.asarray(order[kept], dtype=np.int64)
