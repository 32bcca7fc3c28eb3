"""What follows training: thresholds, facts and intervals by validation rows, and the graph that is exported."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.modeling.inference import decision_threshold
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.models.autoencoder import Autoencoder
from tiltyard.modeling.problems import detection
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training.objective import encode_targets
from tiltyard.training.reference import Trained
from tiltyard.training.samplers import base as samplers

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Finished:
    """A trained network, and all that is written of it."""

    body: keras.Model
    model: keras.Model  # from rows as a client sends them to outputs
    encoder: Encoder
    record: dict[str, Any]
    thresholds: list[dict[str, Any]]


def finish(task: Task, parts: TrainingRows, trained: Trained) -> Finished:
    """Return the graph to export and the encoder; what is chosen is chosen before the last fit to all rows."""
    from tiltyard.training import network

    ends = _ends(task.target.interval, parts, trained.body) if task.target.interval else None
    encoder, thresholds = with_threshold(task, parts, trained.body)
    encoder = _with_facts(task, parts, _with_least_score(encoder, parts, trained.body), trained.body)
    trained = trained.refit() if trained.refit else trained
    if task.problem == "anomaly":
        model, encoder, scoring = _with_score(task, parts, trained.body)
        return Finished(trained.body, model, encoder, {**trained.record, **scoring}, thresholds)
    model = network.build_inference(task.model, trained.body, parts.encoder, ends)
    return Finished(trained.body, model, encoder, {**trained.record}, thresholds)


def _with_facts(task: Task, parts: TrainingRows, encoder: Encoder, body: keras.Model) -> Encoder:
    """Return the encoder with what the service needs to know of samples, clusters or codes."""
    if task.model.generates:
        return samplers.with_facts(encoder, task.model)
    if task.model.cluster_count:
        from tiltyard.training import clustering

        return clustering.with_clusters(encoder, body, parts.train[0])
    if isinstance(task.model, Autoencoder) and task.problem == "reconstruction":
        return encoder.with_target({"code": task.model.code_size})
    return encoder


def with_threshold(task: Task, parts: TrainingRows, body: keras.Model) -> tuple[Encoder, list[dict[str, Any]]]:
    """Return the encoder with decision thresholds, if a label is rare or the task wants them, and their record.

    They are chosen on validation rows.
    """
    from tiltyard.training import network

    setting, classes, train_truth = task.train.threshold, len(task.classes), parts.train[1]
    if setting is None and decision_threshold.rare_label(train_truth, classes) is None:
        return parts.encoder, []
    (features, truth), model = parts.validation, network.build_inference(task.model, body, parts.encoder)
    outputs = network.outputs(model, features)
    threshold = decision_threshold.decide(setting, classes, train_truth, truth, outputs)
    if threshold is None:
        return parts.encoder, []
    decisions = decision_threshold.described(threshold, task.labels, truth, outputs) if setting else []
    return parts.encoder.with_threshold(threshold), decisions


def _with_least_score(encoder: Encoder, parts: TrainingRows, body: keras.Model) -> Encoder:
    """Return the encoder with the least score of objects that are answered, chosen on validation rows."""
    if encoder.problem.targets != "objects":
        return encoder
    from tiltyard.training import network

    (features, truth), condensed = parts.validation, list[Array]()
    for outputs in network.predict_batches(body, features):
        place = sum(map(len, condensed))
        condensed.append(detection.condensed(encoder, truth[place : place + len(outputs)], outputs))
    return encoder.with_target({"least_score": detection.best_least_score(truth, np.concatenate(condensed))})


def _with_score(task: Task, parts: TrainingRows, body: keras.Model) -> tuple[keras.Model, Encoder, dict[str, Any]]:
    """Return the model that scores rows, the encoder with the threshold of the scores, and what is recorded of it."""
    from tiltyard.training import anomaly, network

    setting = task.anomaly_score
    density = anomaly.density_of(body, setting.score, parts.train[0])
    span = anomaly.span_of(task.target, parts.encoder)
    model = anomaly.build_inference(body, setting.score, density, span)
    scores = network.outputs(model, parts.validation[0])[:, -1].astype(np.float64)
    return model, *anomaly.with_threshold(parts.encoder, setting, scores)


def _ends(share: float, parts: TrainingRows, body: keras.Model) -> tuple[Array, Array]:
    """Return the quantiles of the validation errors that give an interval of this coverage."""
    from tiltyard.training import network

    features, truth = parts.validation
    errors = encode_targets(parts.encoder, truth).reshape(len(truth), -1) - network.outputs(body, features)
    return residual_quantiles(errors, share)


def residual_quantiles(errors: Array, share: float) -> tuple[Array, Array]:
    """Return the offsets of the lower and upper end of the interval, from errors of shape (rows, steps).

    Split conformal prediction: of n sorted errors, the k-th smallest and largest are the bounds, so that a new row lies
    between them with at least this probability, whatever the distribution. Rows of a series are not exchangeable, so
    the report has the coverage on test rows.
    """
    rows = len(errors)
    excluded = math.floor((1 - share) / 2 * (rows + 1))  # rows on either side; 0 if rows are too few
    ordered = np.sort(errors, axis=0)
    return ordered[max(excluded, 1) - 1], ordered[rows - max(excluded, 1)]
