"""Scores of anomalies: what is known of normal training rows, the model that is exported, and the threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from tiltyard.arrays import Array
from tiltyard.config.anomaly_section import AnomalyScore, Score
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.models.autoencoder import CODE
from tiltyard.modeling.problems.anomaly import alarm_threshold
from tiltyard.modeling.problems.base import Target
from tiltyard.preparation.array_file import Features
from tiltyard.preparation.training_rows import sample_rows
from tiltyard.training.reconstruction import FLOOR, STANDARD

ROWS = 20_000  # training rows of which codes and errors are measured
SMALLEST_LENGTH = 1e-3  # mean square of a row, below which it counts as empty
SHRINKAGE = 1e-3  # share of the mean variance that is added to that of each direction of the code
POWERS = {"error": 0.0, "root_relative": 0.5, "relative": 1.0}  # of the length of a row that divides its error
SCORE_FLOOR = 1e-2  # share of a usual score below which a difference of ONNX and Keras is relative to it


@dataclass(frozen=True)
class CodeDensity:
    """A Gaussian of the codes of training rows, by their mean and what whitens them, and their mean squared error."""

    mean: Array
    whitening: Array
    error: float

    @classmethod
    def of(cls, code: Array, error: float) -> CodeDensity:
        """Fit it to the codes of training rows."""
        mean = code.mean(axis=0, dtype=np.float64)
        covariance = np.atleast_2d(np.cov(code.astype(np.float64).T))
        average = float(np.trace(covariance)) / len(covariance)
        variances, directions = np.linalg.eigh(covariance + max(SHRINKAGE * average, 1e-12) * np.eye(len(covariance)))
        whitening = directions / np.sqrt(variances)
        return cls(mean.astype(np.float32), whitening.astype(np.float32), error)

    def distance(self, code: Any) -> Any:
        """Return the squared Mahalanobis distance of codes from the mean."""
        return ops.sum(ops.square(ops.matmul(code - self.mean, self.whitening)), axis=-1, keepdims=True)


def density_of(body: keras.Model, score: Score, features: Features) -> CodeDensity | None:
    """Return the density of codes that a score needs, of training rows; None if it needs none."""
    if score in POWERS:
        return None
    model = keras.Model(body.input, [body.output, body.get_layer(CODE).output, body.get_layer(STANDARD).output])
    sample, _ = sample_rows((features, np.zeros(len(features))), ROWS)
    errors, codes = [], []
    for start in range(0, len(sample), 1000):
        output, code, standard = map(np.asarray, model(sample[start : start + 1000], training=False))
        errors.append(np.square(output - standard.reshape(output.shape)).mean(axis=1, dtype=np.float64))
        codes.append(code)
    return CodeDensity.of(np.concatenate(codes), float(np.concatenate(errors).mean()))


def build_inference(body: keras.Model, score: Score, density: CodeDensity | None, span: str = "window") -> keras.Model:
    """Return the model that is exported: the difference of each feature, and the score, side by side.

    With the span `last`, the score is about the last step of a window alone.
    """
    features = keras.layers.Flatten(dtype="float32")(body.get_layer(STANDARD).output)
    output, code = (
        keras.layers.Activation("linear", dtype="float32")(part) for part in (body.output, body.get_layer(CODE).output)
    )
    difference, channels = output - features, body.input_shape[-1]
    scored, row = (difference, features) if span == "window" else (difference[:, -channels:], features[:, -channels:])
    error = ops.mean(ops.square(scored), axis=-1, keepdims=True)
    return keras.Model(body.input, ops.concatenate([difference, _score(score, error, row, (code, density))], axis=-1))


def _score(score: Score, error: Any, row: Any, code: tuple[Any, CodeDensity | None]) -> Any:
    """Return the score of rows from their error, themselves and their codes."""
    if density := code[1]:
        distance = density.distance(code[0])
        return distance if score == "code" else distance + row.shape[-1] * error / density.error
    if not (power := POWERS[score]):
        return error
    length = ops.maximum(ops.mean(ops.square(row), axis=-1, keepdims=True), SMALLEST_LENGTH)
    return error / (ops.sqrt(length) if power == 1 / 2 else length)


def with_threshold(encoder: Encoder, setting: AnomalyScore, scores: Array) -> tuple[Encoder, dict[str, Any]]:
    """Return the encoder with the threshold by the scores of normal validation rows, and the record of the training."""
    threshold = alarm_threshold(scores, setting.false_alarms)
    record = {
        "score": setting.score,
        "threshold": threshold,
        "false_alarms": setting.false_alarms,
        "validation_rows": len(scores),
        "validation_false_alarms": float((scores > threshold).mean()),
    }
    return encoder.with_threshold(threshold), {"anomaly": record}


def floors(outputs: int, threshold: float) -> Array:
    """Return for each output the size below which a difference of ONNX and Keras is relative to it."""
    return np.array([FLOOR] * (outputs - 1) + [max(SCORE_FLOOR * threshold, 1e-12)])


def span_of(target: Target, encoder: Encoder) -> str:
    """Return which steps the score is about: all of a window, unless the task judges the last step of a series."""
    is_series = any(column.type == "series" for column in encoder.columns.values())
    return target.span if is_series else "window"
