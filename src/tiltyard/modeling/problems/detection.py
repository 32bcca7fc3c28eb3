"""Detection: the objects in a picture, each with a label, a score and a box.

The truth of a row is (objects, 7): label, box in pixels, and track and clip, which only tracking uses; after the last
object the label is -1. The outputs of the ONNX model are (cells down, cells across, labels + 4): for each cell of a
grid a score for each label, and how far the box extends from the middle of the cell to the left, top, right and bottom,
as shares of the picture. Metrics see what `condense` makes of them: the best detections of a row, sorted, each with
what is named in `COLUMNS`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Fitted
from tiltyard.modeling.problems import _boxes, _matching
from tiltyard.modeling.problems.base import FittedEncoder, Problem, Target

MAX_FOUND = 32  # detections of a picture, at most
MAX_CANDIDATES = 128  # cells of a picture that non-maximum suppression looks at
LEAST_CANDIDATE = 0.05  # score of a cell that may become a detection
LEAST_SCORE = 0.3  # of an answered detection, until validation rows say better
MAX_OVERLAP = 0.6  # of two detections of a picture
COLUMNS = ("score", "label", "left", "top", "right", "bottom", "overlaps", "answered")
SCORE, LABEL, BOX, OVERLAPS, ANSWERED = 0, 1, slice(2, 6), 6, 7


class Detection(Problem):
    """A grid of scores and boxes."""

    losses: ClassVar = {"sigmoid": ("focal",)}
    targets: ClassVar = "objects"

    def __init__(self, encoder: FittedEncoder | None = None) -> None:
        self._encoder = encoder

    def bound_to(self, encoder: FittedEncoder) -> Problem:
        """Return the problem with the size of pictures, and with the least score that is answered."""
        return type(self)(encoder)

    def units(self, target: Target, output: str, encoder: FittedEncoder) -> int:
        """Return one score for each label, and four sides."""
        return len(encoder.classes) + 4

    def fit(self, target: Target, truth: Array) -> Fitted:
        """Return the least score that is answered; `train` chooses another one on validation rows."""
        return {"least_score": LEAST_SCORE}

    @property
    def least_score(self) -> float:
        """The least score of a detection that is answered."""
        return float(self._encoder.target.get("least_score", LEAST_SCORE)) if self._encoder else LEAST_SCORE

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of pictures in pixels."""
        return picture_size(self._encoder) if self._encoder else (1, 1)

    def condense(self, encoder: FittedEncoder, truth: Array, outputs: Array) -> Array:
        """Return the best detections of each row, with the overlaps at which each is right."""
        return condensed(encoder, truth, outputs, self.least_score)

    def decode(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Return the objects of each picture whose score is high enough, best first."""
        return [
            {"objects": [_described(one, classes) for one in found if one[SCORE] >= self.least_score]}
            for found in found_objects(outputs, self.size).astype(np.float64)
        ]

    def purpose(self, target: Target) -> str:
        """Return a phrase for the model card."""
        return f"the objects in a picture, each with a label, a score and a box: {', '.join(target.labels)}"

    def json_schema(self, target: Target) -> dict[str, Any]:
        """Return the schema: a list of objects."""
        properties = {
            "label": {"type": "string", "enum": target.labels},
            "score": {"type": "number", "minimum": 0, "maximum": 1},
            "box": {
                "type": "array",
                "items": {"type": "number"},
                "minItems": 4,
                "maxItems": 4,
                "description": f"left, top, right and bottom, in pixels of {self.size[1]}x{self.size[0]}",
            },
            **self.more_properties(),
        }
        one = {"type": "object", "properties": properties, "required": list(properties)}
        objects = {"type": "array", "items": one, "maxItems": MAX_FOUND}
        return {"type": "object", "properties": {"objects": objects}, "required": ["objects"]}

    def more_properties(self) -> dict[str, Any]:
        """Return the schemas of further properties of an object; none by default."""
        return {}


def picture_size(encoder: FittedEncoder) -> tuple[int, int]:
    """Return height and width of the pictures of a task."""
    ((name, column),) = encoder.columns.items()
    height, width, *_ = column.feature_shape(encoder.fitted.get(name, {}))
    return height, width


def as_shares(truth: Array, size: tuple[int, int]) -> Array:
    """Return label and box of each object, with boxes as shares of the picture."""
    return (truth[:, :, :5] / [1, size[1], size[0], size[1], size[0]]).astype(np.float32)


def found_objects(outputs: Array, size: tuple[int, int]) -> Array:
    """Return the detections of each picture, best first, as (rows, detections, 6); the score is 0 after the last one.

    A cell has one label; of detections that overlap, whatever their label, the best one is kept.
    """
    rows, down, across, units = outputs.shape
    scores, best = outputs[..., : units - 4].max(axis=-1), outputs[..., : units - 4].argmax(axis=-1)
    sides = outputs[..., units - 4 :].astype(np.float64)
    x, y = np.meshgrid((np.arange(across) + 0.5) / across, (np.arange(down) + 0.5) / down)
    middle = np.stack([x, y, x, y], axis=-1)
    corners = np.clip(middle + sides * [-1, -1, 1, 1], 0, 1) * [size[1], size[0], size[1], size[0]]
    found = np.zeros((rows, MAX_FOUND, 6), dtype=np.float32)
    for row in range(rows):
        cells = np.flatnonzero(scores[row].ravel() >= LEAST_CANDIDATE)
        cells = cells[np.argsort(-scores[row].ravel()[cells], kind="stable")[:MAX_CANDIDATES]]
        candidates, own = corners[row].reshape(-1, 4)[cells], scores[row].ravel()[cells]
        kept = _boxes.suppress(candidates, own, MAX_OVERLAP)[:MAX_FOUND]
        found[row, : len(kept), SCORE] = own[kept]
        found[row, : len(kept), LABEL] = best[row].ravel()[cells[kept]]
        found[row, : len(kept), BOX] = candidates[kept]
    return found


def condensed(encoder: FittedEncoder, truth: Array, outputs: Array, least_score: float = LEAST_SCORE) -> Array:
    """Return the best detections of each row, with the overlaps at which each is right."""
    return with_overlaps(truth, found_objects(outputs, picture_size(encoder)), least_score)


def with_overlaps(truth: Array, found: Array, least_score: float) -> Array:
    """Return detections with the overlaps at which each is right, as bits of a number, and whether it is answered."""
    condensed = np.zeros((len(found), MAX_FOUND, len(COLUMNS)), dtype=np.float32)
    condensed[:, :, :6] = found
    condensed[:, :, ANSWERED] = (found[:, :, SCORE] >= least_score) & (found[:, :, SCORE] > 0)
    for row in range(len(found)):
        objects, one = truth[row][truth[row, :, 0] >= 0], found[row][found[row, :, SCORE] > 0]
        right = _matching.right_at((objects[:, 0], objects[:, 1:5]), (one[:, LABEL], one[:, BOX]))
        condensed[row, : len(one), OVERLAPS] = right @ (1 << np.arange(right.shape[1]))
    return condensed


def is_right(condensed: Array, place: int = 0) -> Array:
    """Return whether each detection is right at an overlap, by its place among `_matching.OVERLAPS`."""
    return np.asarray((condensed[..., OVERLAPS].astype(np.int64) >> place) & 1, dtype=bool)


def best_least_score(truth: Array, condensed: Array) -> float:
    """Return the least score of answers with the largest F1 at an overlap of one half."""
    present = condensed[..., SCORE] > 0
    scores, right = condensed[..., SCORE][present], is_right(condensed)[present]
    if not right.any():
        return LEAST_SCORE
    order = np.argsort(-scores, kind="stable")
    hits, objects = np.cumsum(right[order]), int((truth[:, :, 0] >= 0).sum())
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + objects)
    best = int(f1.argmax())
    following = scores[order][best + 1] if best + 1 < len(order) else 0.0
    return float(scores[order][best] + following) / 2


def _described(one: Array, classes: list[str]) -> dict[str, Any]:
    return {"label": classes[int(one[LABEL])], "score": float(one[SCORE]), "box": one[BOX].tolist()}
