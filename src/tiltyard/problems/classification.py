"""Predicting one label out of a few."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tiltyard import metrics
from tiltyard.column import Array, Rows, count
from tiltyard.problem import Context, Metric, Problem


def probabilities(outputs: Array) -> Array:
    """Give a probability for each class: a single sigmoid output is the second class's."""
    return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs


def matrix(truth: Array, outputs: Array) -> Array:
    """Give the confusion matrix of the most probable labels."""
    shares = probabilities(outputs)
    return metrics.confusion(truth, shares.argmax(axis=1), shares.shape[1])


def _of_matrix(score: Callable[[Array], float]) -> Callable[[Array, Array, Context], float]:
    return lambda truth, outputs, _: score(matrix(truth, outputs))


def _of_shares(score: Callable[[Array, Array], float]) -> Callable[[Array, Array, Context], float]:
    return lambda truth, outputs, _: score(truth, probabilities(outputs))


class Classification(Problem):
    """Softmax over the classes, or one sigmoid for two; the baseline knows only how frequent each class is."""

    losses: ClassVar = {"softmax": ("sparse_categorical_crossentropy",), "sigmoid": ("binary_crossentropy",)}
    targets: ClassVar = "label"
    metrics: ClassVar = {
        "accuracy": Metric("Accuracy", _of_matrix(metrics.accuracy), higher_is_better=True),
        "balanced_accuracy": Metric("Mean recall", _of_matrix(metrics.balanced_accuracy), higher_is_better=True),
        "macro_f1": Metric("Mean F1", _of_matrix(metrics.macro_f1), higher_is_better=True),
        "log_loss": Metric("Log loss", _of_shares(metrics.log_loss), higher_is_better=False),
        "roc_auc": Metric("ROC AUC, mean over classes", _of_shares(metrics.roc_auc), higher_is_better=True),
    }

    def units(self, classes: int, output: str) -> int:
        """One a class, or a single sigmoid."""
        return 1 if output == "sigmoid" else classes

    def baseline(self, train: Array, rows: Rows) -> Array:
        """The class shares of the training rows, for every row: its label is the majority's."""
        classes = int(train.max()) + 1
        shares = np.bincount(train.astype(np.int64), minlength=classes) / len(train)
        return np.tile(shares, (count(rows), 1))

    def context(self, train: Array) -> dict[str, float]:
        """Nothing is needed."""
        return {}

    def answer(self, outputs: Array, classes: list[str]) -> list[Any]:
        """The label and each class's probability."""
        shares = probabilities(outputs)
        return [
            {"label": classes[place], "probabilities": dict(zip(classes, map(float, row), strict=True))}
            for place, row in zip(shares.argmax(axis=1), shares, strict=True)
        ]
