"""Losses of detection and segmentation: from the targets and the outputs of a batch, the loss of each picture."""

from __future__ import annotations

from typing import Any

from keras import ops

SMALLEST = 1e-6  # a probability is not less, since it has no logarithm
SPREAD = 0.12  # standard deviation of the scores wanted around the middle of an object, as a share of its sides
LEAST_SPREAD = 0.5  # the same in cells
NEAR = 0.4  # from this wanted score on, a cell also learns the box


def focal(truth: Any, prediction: Any) -> Any:
    """Return the focal loss of scores, and 1 minus the intersection over union of boxes, for each picture.

    `truth` holds label and box of each object as shares of the picture, with the label -1 after the last one;
    `prediction` is a grid of scores and sides. As in CenterNet (Zhou et al. 2019), the cell with the middle of an
    object shall have the score 1, and cells nearby count less as mistakes; boxes are learned from these cells, too.
    """
    down, across, units = prediction.shape[1:]
    truth = truth if len(truth.shape) == 3 else ops.reshape(truth, (-1, truth.shape[1] // 5, 5))
    there = ops.cast(truth[:, :, 0] >= 0, "float32")
    near = wanted_scores(truth[:, :, 1:], there, (down, across))
    labels = ops.one_hot(ops.cast(ops.maximum(truth[:, :, 0], 0), "int32"), units - 4) * there[:, :, None]
    wanted = ops.max(near[:, :, :, :, None] * labels[:, :, None, None, :], axis=1)
    objects = ops.maximum(ops.sum(there, axis=1), 1.0)
    return _focal(wanted, prediction[..., : units - 4]) / objects + _outside(near, truth[:, :, 1:], prediction)


def wanted_scores(boxes: Any, there: Any, grid: tuple[int, int]) -> Any:
    """Return the score that each cell shall have for each object: (rows, objects, cells down, cells across)."""
    x = _closeness(boxes[:, :, 0], boxes[:, :, 2], grid[1])
    y = _closeness(boxes[:, :, 1], boxes[:, :, 3], grid[0])
    return y[:, :, :, None] * x[:, :, None, :] * there[:, :, None, None]


def _closeness(low: Any, high: Any, cells: int) -> Any:
    """Return how close each cell is to the one with the middle, along one side: 1 for that cell."""
    middle = ops.floor(ops.clip((low + high) / 2, 0.0, 1.0 - 1e-6) * cells)
    spread = ops.maximum(SPREAD * (high - low) * cells, LEAST_SPREAD)
    away = (ops.arange(cells, dtype="float32") - middle[:, :, None]) / spread[:, :, None]
    return ops.exp(-ops.square(away) / 2)


def _focal(wanted: Any, scores: Any) -> Any:
    scores = ops.clip(scores, SMALLEST, 1.0 - SMALLEST)
    is_middle = ops.cast(wanted >= 1.0, "float32")
    found = is_middle * ops.square(1.0 - scores) * ops.log(scores)
    elsewhere = (1.0 - is_middle) * (1.0 - wanted) ** 4 * ops.square(scores) * ops.log(1.0 - scores)
    return -ops.sum(found + elsewhere, axis=(1, 2, 3))


def _outside(near: Any, boxes: Any, prediction: Any) -> Any:
    """Return 1 minus the intersection over union of boxes, averaged over the cells near an object."""
    down, across = prediction.shape[1:3]
    x = ((ops.arange(across, dtype="float32") + 0.5) / across)[None, None, :]
    y = ((ops.arange(down, dtype="float32") + 0.5) / down)[None, :, None]
    sides = prediction[..., -4:]
    closest = ops.one_hot(ops.argmax(near, axis=1), near.shape[1], dtype="float32")  # the object that a cell learns
    own = ops.matmul(ops.reshape(closest, (-1, down * across, boxes.shape[1])), boxes)
    own = ops.reshape(own, (-1, down, across, 4))
    left, top = x - sides[..., 0], y - sides[..., 1]
    right, bottom = x + sides[..., 2], y + sides[..., 3]
    common = ops.relu(ops.minimum(right, own[..., 2]) - ops.maximum(left, own[..., 0])) * ops.relu(
        ops.minimum(bottom, own[..., 3]) - ops.maximum(top, own[..., 1])
    )
    areas = (right - left) * (bottom - top) + (own[..., 2] - own[..., 0]) * (own[..., 3] - own[..., 1])
    overlap = common / ops.maximum(areas - common, SMALLEST)
    score = ops.max(near, axis=1)
    weight = score * ops.cast(score >= NEAR, "float32")
    return ops.sum((1.0 - overlap) * weight, axis=(1, 2)) / ops.maximum(ops.sum(weight, axis=(1, 2)), SMALLEST)


def pixel_crossentropy(truth: Any, prediction: Any) -> Any:
    """Return the mean over pixels of the negative logarithm of the probability of their label."""
    labels = prediction.shape[-1]
    pixels = prediction.shape[1] * prediction.shape[2]
    wanted = ops.one_hot(ops.reshape(ops.cast(truth, "int32"), (-1, pixels)), labels, dtype=prediction.dtype)
    prediction = ops.reshape(prediction, (-1, pixels, labels))
    return -ops.mean(ops.sum(wanted * ops.log(ops.maximum(prediction, SMALLEST)), axis=-1), axis=-1)
