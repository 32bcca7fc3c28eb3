"""Evaluation of classification: metrics, class frequencies as the baseline, confusion matrix, worst rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows, row_count
from tiltyard.figures import Figure
from tiltyard.modeling.evaluators import _label_figures
from tiltyard.modeling.evaluators.base import Evaluator
from tiltyard.modeling.metrics import scores
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.confusion_matrix import finite, matrix
from tiltyard.modeling.metrics.label_rows import LabelRows
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.classification import labels, probabilities

MAX_WORST = 10  # rows in a report
MAX_PREPARED = 1 << 24  # probabilities: of two classes, 8 million rows, for each of which 48 bytes are kept in memory


def _of_matrix(score: Callable[[Array], float]) -> Callable[[Array, Array, Context], float]:
    return lambda truth, outputs, context: score(matrix(truth, outputs, context.get("threshold")))


def _of_probabilities(score: Callable[[Array, Array], float]) -> Callable[[Array, Array, Context], float]:
    return lambda truth, outputs, _: score(truth, probabilities(outputs))


def _of_ranks(score: Callable[[Array, Array, int | None], float]) -> Callable[[Array, Array, Context], float]:
    return lambda truth, outputs, context: score(truth, probabilities(outputs), _rare(context))


def _rare(context: Context) -> int | None:
    """Return the index of the rarer class of the training rows, of two; None if it is not known."""
    return int(context["rare"]) if "rare" in context else None


METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        "Accuracy",
        _of_matrix(scores.accuracy),
        higher_is_better=True,
        meaning="the share of rows whose predicted label is correct",
        bounds=(0, 1),
    ),
    "balanced_accuracy": Metric(
        "Balanced accuracy (mean recall over the classes)",
        _of_matrix(scores.balanced_accuracy),
        higher_is_better=True,
        meaning="the share of a class's rows that get its label, averaged over the classes",
        bounds=(0, 1),
    ),
    "macro_f1": Metric(
        "Macro F1 (mean over the classes)",
        _of_matrix(scores.macro_f1),
        higher_is_better=True,
        meaning="the harmonic mean of precision and recall, averaged over the classes",
        bounds=(0, 1),
    ),
    "log_loss": Metric(
        "Log loss",
        _of_probabilities(scores.log_loss),
        higher_is_better=False,
        meaning="the negative logarithm of the true label's probability, on average; 0 if all probabilities are 1",
        bounds=(0, math.inf),
    ),
    "brier": Metric(
        "Brier score",
        _of_probabilities(scores.brier),
        higher_is_better=False,
        meaning="the squared difference between probabilities and true labels; 0 if all are certain and correct",
        bounds=(0, 2),
    ),
    "calibration_error": Metric(
        "Expected calibration error",
        _of_probabilities(scores.ece),
        higher_is_better=False,
        meaning="the difference between confidence and accuracy, among predictions of similar confidence",
        bounds=(0, 1),
    ),
    "roc_auc": Metric(
        "ROC AUC (mean over the classes)",
        _of_probabilities(scores.roc_auc),
        higher_is_better=True,
        meaning="the chance that a row of a class gets a higher probability of it than a row of another class",
        bounds=(0, 1),
    ),
    "average_precision": Metric(
        "Average precision (of the rarer class; mean over more than two)",
        _of_ranks(scores.average_precision),
        higher_is_better=True,
        meaning="the share of alarms that are right, averaged over the recalls that thresholds give",
        bounds=(0, 1),
    ),
    "recall_at_1pct_fpr": Metric(
        "Recall at 1 % false alarms (of the rarer class; mean over more than two)",
        _of_ranks(scores.recall_at_few_alarms),
        higher_is_better=True,
        meaning="the share of a class's rows that are found by a threshold that at most 1 % of other rows reach",
        bounds=(0, 1),
    ),
}


class Classification(Evaluator):
    """The baseline predicts the class frequencies."""

    metrics = METRICS
    baseline_title: ClassVar = "the class frequencies of the training rows"

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return the class frequencies of the training rows for every row; its label is the majority class."""
        frequencies = np.bincount(train.astype(np.int64)) / len(train)
        return np.tile(frequencies, (row_count(rows), 1))

    def scores_of_rows(self, truth: Array, outputs: Array, context: Context) -> Callable[[Array], dict[str, float]]:
        """Return a function that computes values of single rows once for all calls, unless there are too many."""
        if outputs.size > MAX_PREPARED:
            return super().scores_of_rows(truth, outputs, context)
        return LabelRows(truth, probabilities(outputs), _rare(context), context.get("threshold")).scores

    def context(self, train: Array) -> dict[str, Any]:
        """Return the index of the class with the fewest training rows, which two-class metrics of ranks are about."""
        return {"rare": float(np.bincount(train.astype(np.int64)).argmin())}

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return the confusion matrix, a table by class, and the most confident wrong predictions."""
        table = matrix(predictions.truth, predictions.outputs, predictions.threshold)
        return {
            "confusion": table.tolist(),
            "per_class": _by_class(table, predictions.classes),
            "worst": _worst(predictions),
        }

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Return actual and predicted label of every row, and the ROC curve averaged over the classes."""
        names = np.array(predictions.classes)
        predicted = names[labels(predictions.outputs, predictions.threshold)]
        actual = names[predictions.truth.astype(np.int64)]
        mean = _label_figures.mean_roc(predictions)
        return {
            "confusion": {"actual": actual.tolist(), "predicted": predicted.tolist()},
            "roc": {"false_positive": mean.false_positive.tolist(), "true_positive": mean.true_positive.tolist()},
        }

    def figures(self, predictions: Predictions) -> list[Figure]:
        """Return the confusion matrix, and the curves over all thresholds."""
        return _label_figures.label_figures(predictions)


def _by_class(table: Array, classes: list[str]) -> list[dict[str, Any]]:
    """Return a record for each class; a ratio is None if its denominator is 0."""
    columns = {"precision": scores.precision(table), "recall": scores.recall(table), "f1": scores.f1(table)}
    return [
        {
            "class": name,
            "rows": int(table[index].sum()),
            **{column: finite(values[index]) for column, values in columns.items()},
        }
        for index, name in enumerate(classes)
    ]


def _worst(predictions: Predictions) -> list[dict[str, Any]]:
    """Return the misclassified rows, the most confident first."""
    class_probabilities, truth = probabilities(predictions.outputs), predictions.truth.astype(np.int64)
    predicted = labels(predictions.outputs, predictions.threshold)
    true_probability = class_probabilities[np.arange(len(truth)), truth]
    wrong = np.flatnonzero(predicted != truth)
    ranked = wrong[np.argsort(true_probability[wrong], kind="stable")]
    return [
        {
            "row": int(predictions.number[index]),
            "actual": predictions.classes[truth[index]],
            "predicted": predictions.classes[predicted[index]],
            "probability_of_actual": float(true_probability[index]),
        }
        for index in ranked[:MAX_WORST]
    ]
