"""Predicting one label out of a few."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows, count
from tiltyard.figures import Figure
from tiltyard.modeling.metrics import by_problem, classification
from tiltyard.modeling.metrics import scores as metrics
from tiltyard.modeling.metrics.classification import matrix, probabilities
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.base import FittedEncoder, Problem, Target

WORST = 10  # rows listed in a report


class Classification(Problem):
    """Softmax over the classes, or one sigmoid for two; the baseline knows only how frequent each class is."""

    losses: ClassVar = {"softmax": ("sparse_categorical_crossentropy",), "sigmoid": ("binary_crossentropy",)}
    targets: ClassVar = "label"
    baseline_title: ClassVar = "how frequent each class is in the training rows"
    metrics: ClassVar = by_problem.CLASSIFICATION

    def units(self, target: Target, output: str, encoder: FittedEncoder) -> int:
        """One a class, or a single sigmoid."""
        return 1 if output == "sigmoid" else len(_classes(target))

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """The class shares of the training rows, for every row: its label is the majority's."""
        shares = np.bincount(train.astype(np.int64)) / len(train)
        return np.tile(shares, (count(rows), 1))

    def context(self, train: Array) -> dict[str, float]:
        """Nothing is needed."""
        return {}

    def answer(self, outputs: Array, classes: list[str]) -> list[Any]:
        """The label and each class's probability."""
        shares = probabilities(outputs)
        return [
            {"label": classes[place], "probabilities": dict(zip(classes, row, strict=True))}
            for place, row in zip(shares.argmax(axis=1).tolist(), shares.tolist(), strict=True)
        ]

    def purpose(self, target: Target) -> str:
        """A label."""
        return f"the label of `{target.column}`, one of {', '.join(_classes(target))}, with probabilities"

    def json_schema(self, target: Target) -> dict[str, Any]:
        """An object of the label and all probabilities."""
        classes, share = _classes(target), {"type": "number", "minimum": 0, "maximum": 1}
        shares = {"type": "object", "properties": dict.fromkeys(classes, share), "required": classes}
        properties = {"label": {"enum": classes}, "probabilities": shares}
        return {"type": "object", "properties": properties, "required": list(properties)}

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """The confusion matrix, a table by class, and the rows whose true label got the least probability."""
        table = matrix(predictions.truth, predictions.outputs)
        return {
            "confusion": table.tolist(),
            "per_class": _by_class(table, predictions.classes),
            "worst": _worst(predictions),
        }

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Actual and predicted label of every row, and the curves for DVC to draw, the mean over classes."""
        names = np.array(predictions.classes)
        predicted = names[probabilities(predictions.outputs).argmax(axis=1)]
        actual = names[predictions.truth.astype(np.int64)]
        mean = classification.mean_roc(predictions)
        return {
            "confusion": {"actual": actual.tolist(), "predicted": predicted.tolist()},
            "roc": {"false_positive": mean.false_positive.tolist(), "true_positive": mean.true_positive.tolist()},
        }

    def exhibits(self, predictions: Predictions) -> list[Figure]:
        """The confusion matrix, and the curves over all thresholds."""
        return classification.exhibits(predictions)


def _classes(target: Target) -> list[str]:
    return target.classes or []


def _by_class(table: Array, classes: list[str]) -> list[dict[str, Any]]:
    """Return a line a class; a ratio over nothing is None."""
    columns = {"precision": metrics.precision(table), "recall": metrics.recall(table), "f1": metrics.f1(table)}
    return [
        {
            "class": name,
            "rows": int(table[place].sum()),
            **{column: classification.finite(values[place]) for column, values in columns.items()},
        }
        for place, name in enumerate(classes)
    ]


def _worst(predictions: Predictions) -> list[dict[str, Any]]:
    """Return the rows answered wrongly, the most surely wrong first."""
    shares, truth = probabilities(predictions.outputs), predictions.truth.astype(np.int64)
    answer = shares.argmax(axis=1)
    given = shares[np.arange(len(truth)), truth]
    wrong = [place for place in np.argsort(given, kind="stable") if answer[place] != truth[place]]
    return [
        {
            "row": int(predictions.number[place]),
            "actual": predictions.classes[truth[place]],
            "predicted": predictions.classes[answer[place]],
            "probability_of_actual": float(given[place]),
        }
        for place in wrong[:WORST]
    ]
