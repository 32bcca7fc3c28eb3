"""Labels of rows that are normal or anomalies, and what windows of a series are by the labels of their steps."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from tiltyard.arrays import Array, is_missing

NORMAL, ANOMALY = 0, 1
UNKNOWN = -1  # no label: taken for a normal row in training, and no test row
NEAR_ANOMALY = 2  # a normal window of a series with an anomaly in an earlier step: a test row only


def parse_labels(normal: Collection[str], values: Sequence[object]) -> Array:
    """Return for each label whether its row is normal, an anomaly, or not known."""
    kinds = [UNKNOWN if is_missing(value) else NORMAL if str(value) in normal else ANOMALY for value in values]
    return np.array(kinds, dtype=np.int64)


def label_windows(windows: Array, span: str) -> Array:
    """Return what windows of a series are, by the labels of their steps (rows, steps).

    A window is an anomaly if its last step is one, or with the span `window` any of its steps.
    """
    last, has_anomaly = windows[:, -1], (windows == ANOMALY).any(axis=1)
    if span == "window":
        return np.where(has_anomaly, ANOMALY, last)
    return np.where((last != ANOMALY) & has_anomaly, NEAR_ANOMALY, last)
