"""Evaluation of tracking: identities and switches over clips, beside the detections in frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.modeling.evaluators import detection
from tiltyard.modeling.evaluators.base import TRUTH
from tiltyard.modeling.metrics import tracks
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems._tracks import COUNTS
from tiltyard.modeling.problems.tracking import CLIP, with_counts


def counts_of(outputs: Array) -> Array:
    """Return the counts of each frame."""
    return np.asarray(outputs[:, -1, : len(COUNTS)], dtype=np.float64)


def _of_counts(score: Callable[[Array], float]) -> Callable[[Array, Array, Context], float]:
    return lambda _, outputs, __: score(counts_of(outputs))


def _of_detections(metric: Metric) -> Metric:
    """Return a metric of the detections alone."""
    return Metric(
        metric.title,
        lambda truth, outputs, context: metric.score(truth, outputs[:, :-1], context),
        metric.higher_is_better,
        metric.meaning,
        metric.bounds,
    )


METRICS: dict[str, Metric] = {
    "idf1": Metric(
        "F1 of identities (IDF1)",
        _of_counts(tracks.idf1),
        higher_is_better=True,
        meaning="each true track is matched with at most one found track of its clip; the F1 of boxes that overlap by "
        "one half, have the same label and belong to tracks that are matched",
        bounds=(0, 1),
    ),
    "mota": Metric(
        "Multiple object tracking accuracy (MOTA)",
        _of_counts(tracks.mota),
        higher_is_better=True,
        meaning="1 minus the missed boxes, wrong boxes and switches of identity, as a share of all objects in frames",
        bounds=(-np.inf, 1),
    ),
    "id_switches": Metric(
        "Switches of identity for 100 objects in frames",
        _of_counts(tracks.switches),
        higher_is_better=False,
        meaning="how often the number of a true object changes from one frame in which it is found to the next",
        bounds=(0, 100),
    ),
    **{name: _of_detections(metric) for name, metric in detection.METRICS.items()},
}


class Tracking(detection.Detection):
    """The baseline tracks connected bright spots."""

    metrics = METRICS
    baseline_title: ClassVar = (
        "connected bright spots with the most frequent label, numbered by the same tracker as the model's detections"
    )

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return the detections of bright spots with the counts of frames."""
        found = super().baseline(train, rows, metric)
        return with_counts(rows[TRUTH], np.concatenate([found, np.zeros_like(found[:, :1])], axis=1))

    def errors_of_rows(self, truth: Array, outputs: Array) -> Array:
        """Return the errors of the detections in each frame."""
        return super().errors_of_rows(truth, outputs[:, :-1])

    def recalls(self, truth: Array, outputs: Array, labels: int) -> Array:
        """Return those of the detections."""
        return super().recalls(truth, outputs[:, :-1], labels)

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return those of detections, and what was counted over all clips."""
        counts = counts_of(predictions.outputs).sum(axis=0).astype(int).tolist()
        clips = len(np.unique(predictions.truth[:, 0, CLIP]))
        counted = {"clips": clips, **dict(zip(COUNTS, counts, strict=True))}
        return {**super().details(_detections(predictions)), "tracks": counted}

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Return those of detections."""
        return super().plots(_detections(predictions))

    def figures(self, predictions: Predictions) -> list[Any]:
        """Return those of detections."""
        return super().figures(_detections(predictions))


def _detections(predictions: Predictions) -> Predictions:
    """Return the predictions without the counts of frames."""
    return Predictions(
        predictions.truth,
        predictions.outputs[:, :-1],
        predictions.baseline[:, :-1],
        predictions.number,
        predictions.classes,
        predictions.target,
        predictions.threshold,
    )
