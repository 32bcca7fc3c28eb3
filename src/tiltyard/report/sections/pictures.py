"""Pictures with the most errors: objects with boxes, or masks, as they are and as the model predicts them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from tiltyard.arrays import Array, take_rows
from tiltyard.config.task import Task
from tiltyard.evaluation.evaluated import Evaluated
from tiltyard.figures import Figure, captioned_images
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.segmentation import MAX_LABELS, PALETTE

SIDE = 192  # pixels of the longer side of a picture
GAP = 6  # white pixels between two pictures
TRUE, PREDICTED = (60, 200, 90), (255, 150, 0)  # colours of boxes
SHADE = 0.6  # of a mask over its picture

Box = tuple[str, Sequence[float]]  # its label, and corners in pixels of the picture


def picture_figures(task: Task, evaluated: Evaluated, predictions: Predictions) -> list[Figure]:
    """Return the worst pictures of detection or segmentation; nothing for other tasks."""
    if task.problem_type.targets not in ("objects", "mask"):
        return []
    places = _places(evaluated, predictions)
    rows = take_rows(evaluated.test.rows, places)
    (pixels,) = rows.values()
    # one by one, since pictures of a request may be the frames of one clip
    answers = [evaluated.predictor.respond(take_rows(rows, np.array([place])))[0] for place in range(len(places))]
    shown = [
        (f"row {predictions.number[place]}", _pair(task, picture, predictions.truth[place], answer))
        for place, picture, answer in zip(places, pixels, answers, strict=True)
    ]
    what = "boxes of its objects" if task.problem_type.targets == "objects" else "labels of its pixels"
    text = f"Test rows with the most errors. Left: the picture with the true {what}; right: with those predicted."
    return [captioned_images("Pictures with the most errors", text, shown, wide=True)]


def _places(evaluated: Evaluated, predictions: Predictions) -> Array:
    positions = {number: place for place, number in enumerate(predictions.number.tolist())}
    return np.array([positions[record["row"]] for record in evaluated.report["worst"]], dtype=np.int64)


def _pair(task: Task, picture: Array, truth: Array, answer: dict[str, Any]) -> Array:
    """Return the picture with what is true, and beside it with what is predicted."""
    if "mask" in answer:
        both = [_shaded(picture, mask) for mask in (truth, _mask(answer["mask"]))]
    else:
        there = [(task.labels[int(one[0])], one[1:5].tolist()) for one in truth if one[0] >= 0]
        found = [(f"{one['label']} {one['score']:.2f}", one["box"]) for one in answer["objects"]]
        both = [_boxed(picture, there, TRUE), _boxed(picture, found, PREDICTED)]
    gap = np.full((len(both[0]), GAP, 3), 255, dtype=np.uint8)
    return np.concatenate([both[0], gap, both[1]], axis=1)


def _scale(picture: Array) -> float:
    return float(SIDE / max(picture.shape[0], picture.shape[1]))


def _enlarged(picture: Array, *, smooth: bool = True) -> Any:
    from PIL import Image

    pixels = np.broadcast_to(picture, (*picture.shape[:2], 3)).astype(np.uint8)
    size = max(1, round(pixels.shape[1] * _scale(picture))), max(1, round(pixels.shape[0] * _scale(picture)))
    return Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST)


def _boxed(picture: Array, boxes: Sequence[Box], colour: tuple[int, int, int]) -> Array:
    from PIL import ImageDraw

    image, scale = _enlarged(picture), _scale(picture)
    draw = ImageDraw.Draw(image)
    for text, corners in boxes:
        left, top, right, bottom = (corner * scale for corner in corners)
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour)
        draw.text((left + 2, top + 1), text.encode("ascii", "replace").decode(), fill=colour)
    return np.asarray(image)


def _shaded(picture: Array, mask: Array) -> Array:
    """Return a picture under the colours of its mask; the first label is not drawn."""
    colours = np.array([PALETTE[number % len(PALETTE)] for number in range(MAX_LABELS)], dtype=np.uint8)
    over = np.asarray(_enlarged(colours[mask], smooth=False), dtype=np.float64)
    under = np.asarray(_enlarged(picture), dtype=np.float64)
    labelled = np.asarray(_enlarged(mask[..., None] > 0, smooth=False)) > 0
    return np.where(labelled, SHADE * over + (1 - SHADE) * under, under).astype(np.uint8)


def _mask(png: str) -> Array:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))
