"""Segmentation: the label of each pixel of a picture.

The truth of a row is a mask (height, width) of label numbers; the outputs of the ONNX model are the probabilities of
the labels, (height, width, labels). Metrics see how many pixels of each label are predicted as each label.
"""

from __future__ import annotations

import base64
import io
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.problems.base import FittedEncoder, Problem, Target

MAX_LABELS = 64  # the counts of a row have as many rows and columns
MAX_PIXELS = 1 << 22  # of a response
PALETTE = (  # of masks: the first label is black, for a background
    (0, 0, 0),
    (230, 25, 75),
    (60, 180, 75),
    (255, 225, 25),
    (0, 130, 200),
    (245, 130, 48),
    (145, 30, 180),
    (70, 240, 240),
    (240, 50, 230),
    (210, 245, 60),
    (250, 190, 212),
    (0, 128, 128),
    (220, 190, 255),
    (170, 110, 40),
    (255, 250, 200),
    (128, 0, 0),
)


class Segmentation(Problem):
    """A softmax over the labels at each pixel."""

    losses: ClassVar = {"softmax": ("pixel_crossentropy",)}
    targets: ClassVar = "mask"

    def units(self, target: Target, output: str, encoder: FittedEncoder) -> int:
        """Return one probability for each label."""
        return len(encoder.classes)

    def condense(self, encoder: FittedEncoder, truth: Array, outputs: Array) -> Array:
        """Return for each row the pixels of each label that are predicted as each label: (rows, labels, labels)."""
        return counted(truth, masks(outputs), len(encoder.classes))

    def decode(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Return the mask of each picture as a PNG in Base64, and the share of pixels of each label."""
        answers = []
        for mask in masks(outputs):
            shares = np.bincount(mask.ravel(), minlength=len(classes)) / mask.size
            png = base64.b64encode(png_of_mask(mask)).decode()
            answers.append({"mask": png, "shares": dict(zip(classes, shares.tolist(), strict=True))})
        return answers

    def purpose(self, target: Target) -> str:
        """Return a phrase for the model card."""
        return f"the label of each pixel of a picture: {', '.join(target.labels)}"

    def json_schema(self, target: Target) -> dict[str, Any]:
        """Return the schema: a PNG in Base64, and a number for each label."""
        share = {"type": "number", "minimum": 0, "maximum": 1}
        mask = {
            "type": "string",
            "contentEncoding": "base64",
            "contentMediaType": "image/png",
            "description": "a PNG of the picture's size with a palette; a pixel's value is the number of its label, "
            "from 0, in the order of shares",
        }
        shares = {
            "type": "object",
            "properties": dict.fromkeys(target.labels, share),
            "required": target.labels,
        }
        properties = {"mask": mask, "shares": shares}
        return {"type": "object", "properties": properties, "required": list(properties)}


def masks(outputs: Array) -> Array:
    """Return the number of the most probable label at each pixel."""
    return np.asarray(outputs.argmax(axis=-1).astype(np.uint8))


def counted(truth: Array, predicted: Array, labels: int) -> Array:
    """Count the pixels of each true and each predicted label, row by row."""
    codes = truth.astype(np.int64) * labels + predicted
    rows = np.arange(len(codes))[:, None] * labels**2
    counts = np.bincount((codes.reshape(len(codes), -1) + rows).ravel(), minlength=len(codes) * labels**2)
    return counts.reshape(len(codes), labels, labels).astype(np.int32)


def png_of_mask(mask: Array) -> bytes:
    """Return a mask as a PNG with a palette, whose pixels are label numbers."""
    from PIL import Image

    image = Image.fromarray(mask.astype(np.uint8))
    image.putpalette([value for number in range(MAX_LABELS) for value in PALETTE[number % len(PALETTE)]])
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    return content.getvalue()
