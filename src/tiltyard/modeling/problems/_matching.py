"""Which detections of a picture are right, as COCO defines it.

A detection is right at an overlap if it takes an object of its label that no better detection has taken: that with
the largest intersection over union, which must reach the overlap.
"""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.problems._boxes import pairs

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
