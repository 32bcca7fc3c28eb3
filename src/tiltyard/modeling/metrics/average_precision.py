"""Average precision of detections, as COCO defines it, but with the area under all points of the curve.

A detection is right at an overlap if it takes an object of its label that no better detection has taken: that with
the largest intersection over union, which must reach the overlap.
"""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.metrics.boxes import pairs

OVERLAPS = np.linspace(0.5, 0.95, 10)  # intersections over union


def right_at(truth: tuple[Array, Array], found: tuple[Array, Array]) -> Array:
    """Return at which overlaps each detection of a picture is right: (detections, overlaps).

    Both are labels and boxes; detections are sorted, best first.
    """
    (labels, boxes), (found_labels, found_boxes) = truth, found
    right = np.zeros((len(found_labels), len(OVERLAPS)), dtype=bool)
    if not len(labels) or not len(found_labels):
        return right
    overlaps = np.where(found_labels[:, None] == labels[None], pairs(found_boxes, boxes), 0.0)
    taken, places = np.zeros((len(OVERLAPS), len(labels)), dtype=bool), np.arange(len(OVERLAPS))
    for number, row in enumerate(overlaps):
        free = np.where(taken, 0.0, row[None])
        best = free.argmax(axis=1)
        right[number] = free[places, best] >= OVERLAPS
        taken[places, best] |= right[number]
    return right


def average_precision(right: Array, objects: int) -> float:
    """Return the area under the curve of precision by recall, for detections sorted by score, best first.

    Precision is made monotone: at each recall, the largest that is reached at this recall or a larger one.
    """
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(precision[np.asarray(right, dtype=bool)].sum() / objects)


def by_label(scores: Array, labels: Array, right: Array, objects: Array) -> Array:
    """Return the average precision of each label; NaN for labels without objects.

    `scores`, `labels` and `right` are of all detections of all pictures, `objects` counts objects by label.
    """
    order = np.argsort(-scores, kind="stable")
    labels, right = labels[order], right[order]
    return np.array(
        [
            average_precision(right[labels == label], count) if count else np.nan
            for label, count in enumerate(objects.tolist())
        ]
    )
