"""Evaluation of anomalies: the distance from the mean as the baseline, and outlier detectors fitted to training rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.config.task import Task
from tiltyard.evaluation.reference import Reference
from tiltyard.modeling.evaluators.reconstruction import FEATURES
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.metrics.base import Context, with_threshold
from tiltyard.modeling.metrics.principal_components import sample
from tiltyard.modeling.outlier_detectors.base import fitted
from tiltyard.modeling.problems.anomaly import alarm_threshold
from tiltyard.modeling.problems.reconstruction import standardised, width
from tiltyard.preparation.array_file import Features

MAX_VALIDATION = 5000  # rows that give the threshold of a detector


def baseline(task: Task, encoder: Encoder, train: Features, rows: Rows) -> Array:
    """Return error and score of rows by their distance from the mean of training rows."""
    known = known_rows(encoder, train)
    return task.evaluator.baseline(known, {FEATURES: standardised(encoder, encoder.encode(rows))}, task.gate.metric)


def known_rows(encoder: Encoder, features: Features, most: int | None = None) -> Array:
    """Return standardised rows, flat: as many as their width allows, evenly spaced."""
    places = sample(min(len(features), most or len(features)), width(encoder))
    places = np.unique(np.linspace(0, len(features) - 1, len(places)).astype(np.int64))
    return standardised(encoder, features[places] if isinstance(features, np.ndarray) else features.take(places))


def detectors(task: Task, encoder: Encoder, parts: tuple[Features, Features], rows: Rows) -> Iterator[Reference]:
    """Yield what each outlier detector says of rows: it is fitted to training rows, its threshold is by validation ones.

    Without labels only reconstructions can be compared: those of principal components.
    """
    train, later = known_rows(encoder, parts[0]), known_rows(encoder, parts[1], MAX_VALIDATION)
    asked = standardised(encoder, encoder.encode(rows))
    errors_only = task.gate.metric == "mse"
    for detector in fitted(train, task.model.code_size, errors_only=errors_only):
        scores = detector.scores(asked)
        threshold = alarm_threshold(detector.scores(later), task.anomaly_score.false_alarms)
        yield Reference(detector.title, np.stack([scores, scores], axis=1), detector.extent, threshold)


def best_detector(
    task: Task, encoder: Encoder, parts: tuple[Features, Features], rows: Rows, truth: Array, context: Context
) -> Reference | None:
    """Return the detector that is hardest to beat: the best one on the test rows, since validation rows are normal."""
    found = [*detectors(task, encoder, parts, rows)]

    def value(reference: Reference) -> float:
        score = task.metric.score(truth, reference.outputs, with_threshold(context, reference.threshold))
        return score if task.metric.higher_is_better else -score

    return max(found, key=value, default=None)


def measured(
    task: Task, encoder: Encoder, parts: tuple[Features, Features], rows: Rows, truth: Array, context: Context
) -> list[dict[str, Any]]:
    """Return the metrics of each outlier detector; an error of a reconstruction only where there is one."""
    records = []
    for reference in detectors(task, encoder, parts, rows):
        scores = task.evaluator.scores(truth, reference.outputs, with_threshold(context, reference.threshold))
        if reference.name != "PCA":
            scores.pop("mse", None)
        records.append({"model": reference.name, "fitted_to": reference.fitted_to, **scores})
    return records


def with_anomalies(truth: Array, outputs: Array, test: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return training rows together with the anomalies among the test rows, so that their ranks can be compared."""
    is_anomaly = test[0] == 1
    return np.concatenate([np.zeros(len(truth)), test[0][is_anomaly]]), np.concatenate([outputs, test[1][is_anomaly]])
