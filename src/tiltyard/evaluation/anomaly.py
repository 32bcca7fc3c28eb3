"""Evaluation of anomalies: outlier detectors that are fitted to training rows, and the training rows themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
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
from tiltyard.preparation.sealed_test import TestRows

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


@dataclass(frozen=True)
class Compared:
    """The rows that models are compared on: encoded training and validation rows, and the sealed test rows."""

    task: Task
    encoder: Encoder
    train: Features
    validation: Features
    test: TestRows
    context: Context

    def detectors(self) -> Iterator[Reference]:
        """Yield what each outlier detector says of the test rows, and its threshold by validation rows.

        By the error of reconstructions only principal components can be compared.
        """
        task = self.task
        train, later = known_rows(self.encoder, self.train), known_rows(self.encoder, self.validation, MAX_VALIDATION)
        asked = standardised(self.encoder, self.encoder.encode(self.test.rows))
        last_step = task.modality == "series" and task.target.span == "last"
        judged = slice(-len(task.columns), None) if last_step else slice(None)
        for detector in fitted(train, task.model.code_size, judged, errors_only=task.gate.metric == "mse"):
            scores = detector.scores(asked)
            threshold = alarm_threshold(detector.scores(later), task.anomaly_score.false_alarms)
            errors = scores if detector.has_errors else np.full(len(scores), np.nan)
            yield Reference(detector.title, np.stack([errors, scores], axis=1), detector.extent, threshold)

    def best_detector(self) -> Reference | None:
        """Return the detector that is hardest to beat: the best on the test rows, since validation rows are normal."""
        sign = 1 if self.task.metric.higher_is_better else -1
        return max(self.detectors(), key=lambda found: sign * self._scores(found)[self.task.gate.metric], default=None)

    def measured(self) -> list[dict[str, Any]]:
        """Return the metrics of each outlier detector, as far as it has them."""
        return [
            {"model": found.name, "fitted_to": found.fitted_to}
            | {name: value for name, value in self._scores(found).items() if math.isfinite(value)}
            for found in self.detectors()
        ]

    def _scores(self, found: Reference) -> dict[str, float]:
        context = with_threshold(self.context, found.threshold)
        return self.task.evaluator.scores(self.test.truth, found.outputs, context)


def with_anomalies(truth: Array, outputs: Array, test: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return training rows together with the anomalies among the test rows, so that their ranks can be compared."""
    is_anomaly = test[0] == 1
    return np.concatenate([np.zeros(len(truth)), test[0][is_anomaly]]), np.concatenate([outputs, test[1][is_anomaly]])
