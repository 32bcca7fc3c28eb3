"""Classification: predict one of several labels."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Fitted
from tiltyard.modeling.problems.base import FittedEncoder, Problem, Target, Threshold


class Classification(Problem):
    """Softmax over the classes, or one sigmoid for two."""

    losses: ClassVar = {
        "softmax": ("sparse_categorical_crossentropy", "kl_divergence", "cosine_similarity"),
        "sigmoid": ("binary_crossentropy", "hinge", "squared_hinge"),
    }
    targets: ClassVar = "label"

    def __init__(self, threshold: Threshold | None = None) -> None:
        self.threshold = threshold

    def fitted_to(self, target: Fitted) -> Classification:
        """Return the problem with the decision threshold of a model."""
        return Classification(target.get("threshold"))

    def units(self, target: Target, output: str, encoder: FittedEncoder) -> int:
        """Return one unit per class, or 1 for a sigmoid."""
        return 1 if output == "sigmoid" else len(_classes(target))

    def decode(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Return label and probabilities of each row."""
        class_probabilities = probabilities(outputs)
        predicted = labels(class_probabilities, self.threshold).tolist()
        return [
            {"label": classes[index], "probabilities": dict(zip(classes, row, strict=True))}
            for index, row in zip(predicted, class_probabilities.tolist(), strict=True)
        ]

    def decode_arrays(self, outputs: Array, classes: list[str]) -> list[Array] | None:
        """Return labels and probabilities."""
        class_probabilities = probabilities(outputs)
        predicted = labels(class_probabilities, self.threshold)
        return [np.array(classes, dtype=object)[predicted], class_probabilities.astype(np.float64)]

    def purpose(self, target: Target) -> str:
        """Return a phrase such as: the label of `species`, one of a, b, with probabilities."""
        return f"the label of `{target.column}`, one of {', '.join(_classes(target))}, with probabilities"

    def json_schema(self, target: Target) -> dict[str, Any]:
        """Return the schema: an object with label and probabilities."""
        classes, probability = _classes(target), {"type": "number", "minimum": 0, "maximum": 1}
        class_probabilities = {"type": "object", "properties": dict.fromkeys(classes, probability), "required": classes}
        properties = {"label": {"enum": classes}, "probabilities": class_probabilities}
        return {"type": "object", "properties": properties, "required": list(properties)}


def _classes(target: Target) -> list[str]:
    return target.classes or []


def probabilities(outputs: Array) -> Array:
    """Return a probability for each class; a single sigmoid is that of the second class."""
    return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs


def labels(outputs: Array, threshold: Threshold | None = None) -> Array:
    """Return the index of each row's label: the most probable one, or of two the second from the threshold on."""
    shares = probabilities(outputs)
    if threshold is None:
        return np.asarray(shares.argmax(axis=1))
    return (shares[:, 1].astype(np.float64) >= threshold).astype(np.int64)
