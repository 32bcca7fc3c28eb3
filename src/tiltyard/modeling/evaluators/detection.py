"""Evaluation of detections: average precision, precision and recall, and connected bright spots as the baseline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.figures import Figure, bars, histogram
from tiltyard.modeling.evaluators.base import TRUTH, Evaluator
from tiltyard.modeling.metrics import average_precision, bright_spots
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems._matching import OVERLAPS
from tiltyard.modeling.problems.detection import (
    ANSWERED,
    BOX,
    LABEL,
    MAX_FOUND,
    SCORE,
    is_right,
    with_overlaps,
)

MAX_WORST = 12  # pictures in a report
OVERLAP_50 = (0,)
ALL_OVERLAPS = tuple(range(len(OVERLAPS)))


def objects_by_label(truth: Array) -> Array:
    """Count the objects of each label."""
    return np.bincount(_labels(truth))


def _labels(truth: Array) -> Array:
    labels = truth[..., 0]
    return np.asarray(labels[labels >= 0].astype(np.int64))


def average_precisions(truth: Array, outputs: Array, overlaps: tuple[int, ...]) -> Array:
    """Return the average precision of each label that some object has, averaged over overlaps; NaN for others."""
    found = outputs[outputs[..., SCORE] > 0]
    objects, labels = objects_by_label(truth), found[:, LABEL].astype(np.int64)
    values = [
        average_precision.by_label(found[:, SCORE], labels, is_right(found, place), objects) for place in overlaps
    ]
    return np.asarray(np.mean(values, axis=0))


def _mean_precision(overlaps: tuple[int, ...]) -> Callable[[Array, Array, Context], float]:
    def score(truth: Array, outputs: Array, _: Context) -> float:
        values = average_precisions(truth, outputs, overlaps)
        values = values[np.isfinite(values)]
        return float(values.mean()) if len(values) else 0.0

    return score


def _answers(outputs: Array) -> tuple[int, int]:
    """Return how many answered detections are right, and how many there are."""
    answered = outputs[outputs[..., ANSWERED] > 0]
    return int(is_right(answered).sum()), len(answered)


def _objects(truth: Array) -> int:
    return int((truth[..., 0] >= 0).sum())


def recall(truth: Array, outputs: Array, _: Context) -> float:
    """Return the share of objects that are found."""
    return _answers(outputs)[0] / max(_objects(truth), 1)


def precision(_truth: Array, outputs: Array, _: Context) -> float:
    """Return the share of answers that are right; 0 without answers."""
    right, answers = _answers(outputs)
    return right / max(answers, 1)


METRICS: dict[str, Metric] = {
    "ap50": Metric(
        "Average precision at an overlap of 50 % (AP50)",
        _mean_precision(OVERLAP_50),
        higher_is_better=True,
        meaning="the area under the curve of precision by recall, averaged over labels; a detection is right if it has "
        "the label of an object and an intersection over union with it of at least one half",
        bounds=(0, 1),
    ),
    "ap": Metric(
        "Average precision at overlaps from 50 to 95 % (AP50:95)",
        _mean_precision(ALL_OVERLAPS),
        higher_is_better=True,
        meaning="the same, averaged over ten overlaps from 0.5 to 0.95: it rewards boxes that fit closely",
        bounds=(0, 1),
    ),
    "recall": Metric(
        "Recall of answers",
        recall,
        higher_is_better=True,
        meaning="the share of objects that are found, with their label and an overlap of one half, among the answers",
        bounds=(0, 1),
    ),
    "precision": Metric(
        "Precision of answers",
        precision,
        higher_is_better=True,
        meaning="the share of answered objects that are there, with this label and an overlap of one half",
        bounds=(0, 1),
    ),
}


class Detection(Evaluator):
    """The baseline answers connected bright spots with the most frequent label."""

    metrics = METRICS
    baseline_title: ClassVar = "connected bright spots with the most frequent label, the larger ones first"

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return the detections of bright spots in pictures; `train` is the truth of training rows."""
        (pictures,) = (values for name, values in rows.items() if name != TRUTH)
        label = int(objects_by_label(train).argmax()) if _objects(train) else 0
        found = np.zeros((len(pictures), MAX_FOUND, 6), dtype=np.float32)
        for row, boxes in enumerate(bright_spots.boxes(pictures, MAX_FOUND)):
            found[row, : len(boxes), BOX] = boxes
            found[row, : len(boxes), LABEL] = label
            found[row, : len(boxes), SCORE] = bright_spots.scores(boxes, pictures.shape[1:3])
        return with_overlaps(rows[TRUTH], found, 0.0)

    def errors_of_rows(self, truth: Array, outputs: Array) -> Array:
        """Return 1 minus the F1 of the answers for each picture."""
        return errors_of_pictures(truth, outputs)

    def recalls(self, truth: Array, outputs: Array, labels: int) -> Array:
        """Return the recall of each label among the answers."""
        right = outputs[is_right(outputs) & (outputs[..., ANSWERED] > 0)][:, LABEL].astype(np.int64)
        objects, found = (np.bincount(codes, minlength=labels) for codes in (_labels(truth), right))
        return np.asarray(np.divide(found, objects, out=np.full(labels, np.nan), where=objects > 0))

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return a table by label, and the pictures with the most errors."""
        return {"per_label": _by_label(predictions), "worst": _worst(predictions)}

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Return the average precision of each label."""
        table = _by_label(predictions)
        names = ("label", "objects", "ap50", "ap")
        return {"labels": {name: [record[name] or 0.0 for record in table] for name in names}}

    def figures(self, predictions: Predictions) -> list[Figure]:
        """Return the average precision by label, and the scores of right and wrong detections."""
        found = predictions.outputs[predictions.outputs[..., SCORE] > 0]
        right, scores = is_right(found), found[:, SCORE].astype(np.float64)
        values = {record["label"]: record["ap50"] for record in _by_label(predictions) if record["ap50"] is not None}
        by_label = bars("Average precision by label", "AP50 of each label on test rows.", "AP50", values)
        if not len(found):  # a model that finds nothing has no scores
            return [by_label]
        return [
            by_label,
            histogram(
                "Scores of detections",
                "Detections in test rows that are right at an overlap of one half, and those that are wrong.",
                {"right": scores[right], "wrong": scores[~right]},
            ),
        ]


def errors_of_pictures(truth: Array, outputs: Array) -> Array:
    """Return 1 minus the F1 of the answers for each picture; 0 if there is no object, and none is answered."""
    answered = outputs[..., ANSWERED] > 0
    right = (is_right(outputs) & answered).sum(axis=1)
    total = (truth[..., 0] >= 0).sum(axis=1) + answered.sum(axis=1)
    return np.asarray(np.where(total > 0, 1 - 2 * right / np.maximum(total, 1), 0.0))


def _worst(predictions: Predictions) -> list[dict[str, Any]]:
    errors = errors_of_pictures(predictions.truth, predictions.outputs)
    chosen = np.argsort(-errors, kind="stable")[:MAX_WORST].tolist()
    return [
        {
            "row": int(predictions.number[place]),
            "objects": _names(predictions.truth[place, :, 0], predictions.classes),
            "predicted": _names(_answered_labels(predictions.outputs[place]), predictions.classes),
            "error": float(errors[place]),
        }
        for place in chosen
    ]


def _answered_labels(outputs: Array) -> Array:
    return np.where(outputs[:, ANSWERED] > 0, outputs[:, LABEL], -1)


def _names(labels: Array, classes: list[str]) -> str:
    return ", ".join(classes[label] for label in sorted(labels[labels >= 0].astype(int).tolist())) or "none"


def _by_label(predictions: Predictions) -> list[dict[str, Any]]:
    """Return a record for each label; the precision of a label without objects is None."""
    labels, objects = predictions.classes, objects_by_label(predictions.truth)
    precisions = [
        average_precisions(predictions.truth, predictions.outputs, overlaps) for overlaps in (OVERLAP_50, ALL_OVERLAPS)
    ]
    return [
        {
            "label": name,
            "objects": int(objects[place]) if place < len(objects) else 0,
            **{
                key: float(values[place]) if place < len(values) and np.isfinite(values[place]) else None
                for key, values in zip(("ap50", "ap"), precisions, strict=True)
            },
        }
        for place, name in enumerate(labels)
    ]
