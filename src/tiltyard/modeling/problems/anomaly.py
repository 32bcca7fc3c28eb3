"""Anomalies: a score for each row, by a model that has learned from normal rows only, and whether it is an anomaly.

The outputs of the ONNX model are, side by side: the difference of each standardised feature from its reconstruction,
and the score. Metrics use the mean squared difference, and the score. The truth of an anomaly is 1, of other rows 0.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.columns.image import Image
from tiltyard.modeling.columns.series import Series
from tiltyard.modeling.problems.base import FittedEncoder, Target, Threshold
from tiltyard.modeling.problems.reconstruction import Reconstruction, standardised

LABELS = ("normal", "anomaly")  # what a client may call them
ERROR, SCORE = 0, -1  # the columns of condensed outputs


class Anomaly(Reconstruction):
    """Rows whose score is above the threshold are anomalies."""

    targets: ClassVar = "anomaly"

    def __init__(self, encoder: FittedEncoder | None = None) -> None:
        super().__init__(encoder)
        self.threshold: Threshold | None = encoder.target.get("threshold") if encoder else None

    def condense(self, encoder: FittedEncoder, truth: Array, outputs: Array) -> Array:
        """Return the mean squared difference and the score of each row."""
        differences = outputs[:, :-1].astype(np.float64)
        return np.stack([np.square(differences).mean(axis=1), outputs[:, -1].astype(np.float64)], axis=1)

    def decode(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Return score and flag, and the squared error of each column, pixel or step."""
        score, flag, errors = self._parts(outputs)
        names = [*self.encoder.columns]
        shown = errors.tolist() if self._is_bare else [dict(zip(names, row, strict=True)) for row in errors.tolist()]
        rows = zip(score.tolist(), flag.tolist(), shown, strict=True)
        return [dict(zip(("score", "anomaly", "errors"), row, strict=True)) for row in rows]

    def decode_arrays(self, outputs: Array, classes: list[str]) -> list[Array] | None:
        """Return scores, flags and errors."""
        return [*self._parts(outputs)]

    def rebuilt(self, features: Array, outputs: Array) -> Array:
        """Return the standardised features as the network reconstructs them."""
        return np.asarray(standardised(self.encoder, features) + outputs[:, :-1])

    def purpose(self, target: Target) -> str:
        """Return a phrase for the model card."""
        return "whether a row is an anomaly, that is unlike the normal rows of the training, with a score"

    def json_schema(self, target: Target) -> dict[str, Any]:
        """Return the schema: a number, a flag, and the errors."""
        limit = "" if self.threshold is None else f": an anomaly if above {self.threshold:.6g}"
        score = {"type": "number", "description": f"how unlike normal rows it is{limit}"}
        properties = {"score": score, "anomaly": {"type": "boolean"}, "errors": self._errors_schema()}
        return {"type": "object", "properties": properties, "required": list(properties)}

    @property
    def _is_bare(self) -> bool:
        """Whether the errors of a row are lists: of an image, or of one series."""
        return len(self.encoder.columns) == 1 and isinstance(self._column, (Image, Series))

    @property
    def _column(self) -> Any:
        return next(iter(self.encoder.columns.values()))

    def _parts(self, outputs: Array) -> tuple[Array, Array, Array]:
        score = outputs[:, -1].astype(np.float64)
        limit = np.inf if self.threshold is None else self.threshold
        return score, score > limit, self._errors(np.square(outputs[:, :-1].astype(np.float64)))

    def _errors(self, squares: Array) -> Array:
        """Return the squared errors of pixels (rows, height, width), steps, or the sum of those of each column."""
        encoder, column = self.encoder, self._column
        if isinstance(column, Image):
            return np.asarray(squares.reshape(len(squares), *column.shape).sum(axis=3))
        if isinstance(column, Series):
            steps = squares.reshape(len(squares), column.window, len(encoder.columns))
            return np.asarray(steps[:, :, 0] if len(encoder.columns) == 1 else steps.sum(axis=1))
        widths = [len(column.scaling(encoder.fitted[name])) for name, column in encoder.columns.items()]
        starts = np.cumsum([0, *widths[:-1]])
        return np.asarray(np.add.reduceat(squares, starts, axis=1))

    def _errors_schema(self) -> dict[str, Any]:
        number: dict[str, Any] = {"type": "number", "minimum": 0}
        meaning = {"description": "squared error of each, of which the largest are the least normal"}
        if not self._is_bare:
            names = [*self.encoder.columns]
            return {"type": "object", "properties": dict.fromkeys(names, number), "required": names, **meaning}
        column = self._column
        lengths = column.shape[:2] if isinstance(column, Image) else (column.window,)
        nested = number
        for length in reversed(lengths):
            nested = {"type": "array", "items": nested, "minItems": length, "maxItems": length}
        return {**nested, **meaning}


def flags(errors_and_scores: Array, threshold: float) -> Array:
    """Return which rows are anomalies, from condensed outputs."""
    return np.asarray(errors_and_scores[:, SCORE] > threshold)


def alarm_threshold(scores: Array, false_alarms: float) -> float:
    """Return the score above which at most this share of new normal rows is expected, by scores of normal rows.

    Of n rows, the k-th highest score is the threshold, where k is the share of n + 1: another row of the same kind is
    above it with a probability of k / (n + 1) at most. Of too few rows, it is the highest.
    """
    allowed = max(1, int(false_alarms * (len(scores) + 1)))
    return float(np.partition(scores, len(scores) - allowed)[len(scores) - allowed])
