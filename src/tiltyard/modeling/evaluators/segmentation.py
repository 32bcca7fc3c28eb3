"""Evaluation of segmentation: intersection over union by label, with labels by brightness as the baseline.

Outputs are counts of pixels by true and predicted label, (rows, labels, labels).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.figures import Figure, bars, matrix
from tiltyard.modeling.evaluators.base import TRUTH, Evaluator
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.segmentation import counted

MAX_WORST = 12  # pictures in a report
LEVELS = 16  # of brightness that the baseline tells apart


def overlaps(counts: Array) -> Array:
    """Return the intersection over union of each label; NaN for labels that are neither there nor predicted."""
    counts = counts.reshape(-1, *counts.shape[-2:]).sum(axis=0, dtype=np.float64)
    both = np.diagonal(counts)
    either = counts.sum(axis=0) + counts.sum(axis=1) - both
    return np.asarray(np.divide(both, either, out=np.full(len(both), np.nan), where=either > 0))


def mean_overlap(_: Array, outputs: Array, __: Context) -> float:
    """Return the mean over labels of the intersection over union."""
    return float(np.nanmean(overlaps(outputs)))


def pixel_accuracy(_: Array, outputs: Array, __: Context) -> float:
    """Return the share of pixels with the right label."""
    counts = outputs.sum(axis=0, dtype=np.float64)
    return float(np.trace(counts) / counts.sum())


METRICS: dict[str, Metric] = {
    "mean_iou": Metric(
        "Mean intersection over union (mIoU)",
        mean_overlap,
        higher_is_better=True,
        meaning="for each label the pixels that have it and are given it, as a share of those that have it or are "
        "given it, over all pictures; averaged over labels",
        bounds=(0, 1),
    ),
    "pixel_accuracy": Metric(
        "Pixel accuracy",
        pixel_accuracy,
        higher_is_better=True,
        meaning="the share of pixels that are given their label; high already if most pixels are background",
        bounds=(0, 1),
    ),
}


class Segmentation(Evaluator):
    """The baseline gives each pixel the most frequent label of its brightness."""

    metrics = METRICS
    baseline_title: ClassVar = (
        "by brightness of a pixel, in 16 steps: the first label, or the most frequent other one where others prevail"
    )

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return the counts for labels by brightness; `train` counts training pixels by brightness and label."""
        (pictures,) = (values for name, values in rows.items() if name != TRUTH)
        labels = train.shape[1]
        others = train[:, 1:].sum(axis=1) > train[:, 0]
        chosen = np.where(others, 1 + train[:, 1:].sum(axis=0).argmax(), 0)
        return counted(rows[TRUTH], chosen[levels(pictures)], labels)

    def errors_of_rows(self, truth: Array, outputs: Array) -> Array:
        """Return 1 minus the mean intersection over union of each picture."""
        return np.array([1 - np.nanmean(overlaps(one)) for one in outputs])

    def recalls(self, truth: Array, outputs: Array, labels: int) -> Array:
        """Return the share of the pixels of each label that are given it."""
        counts = outputs.sum(axis=0, dtype=np.float64)
        there = counts.sum(axis=1)
        return np.asarray(np.divide(np.diagonal(counts), there, out=np.full(labels, np.nan), where=there > 0))

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return a table by label, and the pictures with the smallest intersection over union."""
        errors = self.errors_of_rows(predictions.truth, predictions.outputs)
        worst = [
            {"row": int(predictions.number[place]), "mean_iou": float(1 - errors[place])}
            for place in np.argsort(-errors, kind="stable")[:MAX_WORST].tolist()
        ]
        return {"per_label": _by_label(predictions), "worst": worst}

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Return the intersection over union of each label."""
        table = _by_label(predictions)
        return {"labels": {name: [record[name] or 0.0 for record in table] for name in ("label", "iou", "recall")}}

    def figures(self, predictions: Predictions) -> list[Figure]:
        """Return the intersection over union by label, and the pixels by true and predicted label."""
        counts, names = predictions.outputs.sum(axis=0, dtype=np.int64), predictions.classes
        values = {record["label"]: record["iou"] for record in _by_label(predictions) if record["iou"] is not None}
        return [
            bars("Intersection over union by label", "On all test rows together.", "IoU", values),
            matrix(
                "Pixels by label",
                "How many pixels of each label are given each label.",
                ("true label", "predicted label"),
                (names, names),
                counts,
                by_row=True,
            ),
        ]


def levels(pictures: Array) -> Array:
    """Return the step of brightness of each pixel."""
    grey = pictures.astype(np.float32).mean(axis=-1) if pictures.ndim == 4 else pictures
    return np.clip(grey * LEVELS / 256, 0, LEVELS - 1).astype(np.int64)


def pixels_by_level(pictures: Array, masks: Array, labels: int) -> Array:
    """Count training pixels by brightness and label, which the baseline is fitted to."""
    codes = levels(pictures) * labels + masks
    return np.bincount(codes.ravel(), minlength=LEVELS * labels).reshape(LEVELS, labels)


def _by_label(predictions: Predictions) -> list[dict[str, Any]]:
    counts = predictions.outputs.sum(axis=0, dtype=np.float64)
    values, given, actual = overlaps(counts), counts.sum(axis=0), counts.sum(axis=1)
    return [
        {
            "label": name,
            "pixels": int(actual[place]),
            "iou": float(values[place]) if np.isfinite(values[place]) else None,
            "precision": float(counts[place, place] / given[place]) if given[place] else None,
            "recall": float(counts[place, place] / actual[place]) if actual[place] else None,
        }
        for place, name in enumerate(predictions.classes)
    ]
