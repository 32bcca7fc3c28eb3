"""Multi-label classification: predict which labels a row has, of which it may have any number.

The truth is a Boolean array (rows, labels). In a file, the labels of a row are in one cell: Action|Comedy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Fitted
from tiltyard.modeling.columns._label_cells import joined
from tiltyard.modeling.problems.base import FittedEncoder, Problem, Target, Threshold

THRESHOLD = 0.5  # probability from which a label is predicted, if none was chosen for it
MAX_LABELS = 1000  # each has an output


class Multilabel(Problem):
    """One sigmoid for each label."""

    losses: ClassVar = {"sigmoid": ("binary_crossentropy",)}
    targets: ClassVar = "labels"

    def __init__(self, separator: str | None = None, threshold: Threshold | None = None) -> None:
        self.separator, self.threshold = separator, threshold

    def fitted_to(self, target: Fitted) -> Multilabel:
        """Return the problem with the separator of the task, which ground truth may contain, too, and thresholds."""
        return Multilabel(target.get("separator"), target.get("threshold"))

    def fit(self, target: Target, truth: Array) -> Fitted:
        """Return the separator; the task names the labels."""
        return {"separator": target.separator}

    def units(self, target: Target, output: str, encoder: FittedEncoder) -> int:
        """Return one unit per label."""
        return len(_classes(target))

    def decode(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Return the predicted labels of each row, and the probability of every label."""
        chosen, probabilities = predicted(outputs, self.threshold).tolist(), outputs.tolist()
        return [
            {"labels": named(flags, classes), "probabilities": dict(zip(classes, row, strict=True))}
            for flags, row in zip(chosen, probabilities, strict=True)
        ]

    def decode_arrays(self, outputs: Array, classes: list[str]) -> list[Array] | None:
        """Return whether each label is predicted, and the probabilities."""
        return [predicted(outputs, self.threshold), outputs.astype(np.float64)]

    def purpose(self, target: Target) -> str:
        """Return a phrase such as: the labels of `genres`, any number of a, b, with the probability of each."""
        return f"the labels of `{target.column}`, any number of {', '.join(_classes(target))}, with probabilities"

    def json_schema(self, target: Target) -> dict[str, Any]:
        """Return the schema: an object with a list of labels, and probabilities."""
        classes, probability = _classes(target), {"type": "number", "minimum": 0, "maximum": 1}
        labels = {"type": "array", "items": {"enum": classes}, "uniqueItems": True}
        probabilities = {"type": "object", "properties": dict.fromkeys(classes, probability), "required": classes}
        properties = {"labels": labels, "probabilities": probabilities}
        return {"type": "object", "properties": properties, "required": list(properties)}


def _classes(target: Target) -> list[str]:
    return target.classes or []


def predicted(outputs: Array, threshold: Threshold | None = None) -> Array:
    """Return for each row and label whether it is predicted: from its threshold on, or from 50 %."""
    if threshold is None:
        return np.asarray(outputs >= THRESHOLD)
    return np.asarray(outputs.astype(np.float64) >= np.asarray(threshold))


def named(flags: Iterable[bool], classes: Sequence[str]) -> list[str]:
    """Return the names of the labels whose flags are set."""
    return [name for name, flag in zip(classes, flags, strict=True) if flag]


def label_cell(prediction: dict[str, Any], separator: str | None) -> str:
    """Return the label or the labels of a prediction as the text of a cell."""
    return joined(prediction["labels"], separator) if "labels" in prediction else str(prediction["label"])
