"""Average precision of detections, as COCO defines it, but with the area under all points of the curve."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array


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
