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
from tiltyard.training.code_mixture import CodeMixture
from tiltyard.training.reconstruction import FLOOR, STANDARD

ROWS = 20_000  # training rows of which codes and errors are measured
SMALLEST_LENGTH = 1e-3  # mean square of a row, below which it counts as empty
SHRINKAGE = 1e-3  # share of the mean variance that is added to that of each direction of the code
OF_ERRORS = ("error", "root_relative", "relative")  # scores that need no density of codes
ERROR_WEIGHT = 2.0  # of the logarithm of the error, beside the logarithm of the density of a code by its numbers
SMALLEST_ERROR = 1e-9
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


Density = CodeDensity | CodeMixture | None


def density_of(body: keras.Model, score: Score, features: Features) -> Density:
    """Return the density of codes that a score needs, of training rows; None if it needs none."""
    if score in OF_ERRORS:
        return None
    model = keras.Model(body.input, [body.output, body.get_layer(CODE).output, body.get_layer(STANDARD).output])
    sample, _ = sample_rows((features, np.zeros(len(features))), ROWS)
    errors, codes = [], []
    for start in range(0, len(sample), 1000):
        output, code, standard = map(np.asarray, model(sample[start : start + 1000], training=False))
        errors.append(np.square(output - standard.reshape(output.shape)).mean(axis=1, dtype=np.float64))
        codes.append(code)
    code = np.concatenate(codes)
    return CodeMixture.of(code) if score == "mixture" else CodeDensity.of(code, float(np.concatenate(errors).mean()))


def build_inference(body: keras.Model, score: Score, density: Density, span: str = "window") -> keras.Model:
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


def _score(score: Score, error: Any, row: Any, coded: tuple[Any, Density]) -> Any:
    """Return the score of rows from their error, themselves and their codes."""
    code, density = coded
    if isinstance(density, CodeDensity):
        distance = density.distance(code)
        return distance if score == "code" else distance + row.shape[-1] * error / density.error
    length = ops.maximum(ops.mean(ops.square(row), axis=-1, keepdims=True), SMALLEST_LENGTH)
    if isinstance(density, CodeMixture):
        relative = ops.log(ops.maximum(error / ops.sqrt(length), SMALLEST_ERROR))
        return ERROR_WEIGHT * relative - density.log_density(code) / code.shape[-1]
    return error / {"root_relative": ops.sqrt(length), "relative": length}.get(score, 1.0)


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


def floors(outputs: int, score: Score, threshold: float) -> Array:
    """Return for each output the size below which a difference of ONNX and Keras is relative to it.

    A sum of logarithms may be near 0, and is as precise as its parts.
    """
    return np.array([FLOOR] * (outputs - 1) + [1.0 if score == "mixture" else max(SCORE_FLOOR * threshold, 1e-12)])


def span_of(target: Target, encoder: Encoder) -> str:
    """Return which steps the score is about: all of a window, unless the task judges the last step of a series."""
    is_series = any(column.type == "series" for column in encoder.columns.values())
    return target.span if is_series else "window"
