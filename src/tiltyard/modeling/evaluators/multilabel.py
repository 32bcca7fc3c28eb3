"""Evaluation of multi-label classification: metrics, label frequencies as the baseline, a table by label."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows, row_count
from tiltyard.figures import Figure
from tiltyard.modeling.evaluators import _label_figures
from tiltyard.modeling.evaluators.base import Evaluator
from tiltyard.modeling.metrics import label_sets
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.confusion_matrix import finite
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.base import Threshold
from tiltyard.modeling.problems.multilabel import THRESHOLD, named, predicted

MAX_WORST = 10  # rows in a report


def _of_arrays(score: Callable[[Array, Array], float]) -> Callable[[Array, Array, Context], float]:
    return lambda truth, outputs, _: score(truth, outputs)


def _of_decisions(
    score: Callable[[Array, Array, Threshold | None], float],
) -> Callable[[Array, Array, Context], float]:
    """Return a score function that predicts labels by the thresholds of the model."""
    return lambda truth, outputs, context: score(truth, outputs, context.get("threshold"))


METRICS: dict[str, Metric] = {
    "micro_f1": Metric(
        "Micro F1 (over all labels of all rows)",
        _of_decisions(label_sets.micro_f1),
        higher_is_better=True,
        meaning="the harmonic mean of precision and recall, over all labels of all rows together",
        bounds=(0, 1),
    ),
    "macro_f1": Metric(
        "Macro F1 (mean over the labels)",
        _of_decisions(label_sets.macro_f1),
        higher_is_better=True,
        meaning="the harmonic mean of precision and recall of a label, averaged over the labels",
        bounds=(0, 1),
    ),
    "average_precision": Metric(
        "Average precision (mean over the labels)",
        _of_arrays(label_sets.average_precision),
        higher_is_better=True,
        meaning="the share of a label's alarms that are right, averaged over the recalls that thresholds give",
        bounds=(0, 1),
    ),
    "roc_auc": Metric(
        "ROC AUC (mean over the labels)",
        _of_arrays(label_sets.roc_auc),
        higher_is_better=True,
        meaning="the chance that a row with a label gets a higher probability of it than a row without",
        bounds=(0, 1),
    ),
    "hamming_loss": Metric(
        "Hamming loss",
        _of_decisions(label_sets.hamming_loss),
        higher_is_better=False,
        meaning="the share of wrong decisions, one for each row and label",
        bounds=(0, 1),
    ),
    "subset_accuracy": Metric(
        "Subset accuracy",
        _of_decisions(label_sets.subset_accuracy),
        higher_is_better=True,
        meaning="the share of rows for which all labels are predicted, and no others",
        bounds=(0, 1),
    ),
    "log_loss": Metric(
        "Log loss (mean over the labels)",
        _of_arrays(label_sets.log_loss),
        higher_is_better=False,
        meaning="the negative logarithm of the probability of what is true of a label, on average; 0 if all are 1",
        bounds=(0, math.inf),
    ),
}


class Multilabel(Evaluator):
    """The baseline predicts the frequency of each label."""

    metrics = METRICS
    baseline_title: ClassVar = "the label frequencies of the training rows"

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return the label frequencies of the training rows for every row."""
        return np.tile(train.mean(axis=0, dtype=np.float64), (row_count(rows), 1))

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return a table by label, and the rows with the largest loss."""
        return {"per_label": _by_label(predictions), "worst": _worst(predictions)}

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Return F1 and rows of each label, and the ROC curve averaged over the labels."""
        table, mean = _by_label(predictions), _label_figures.mean_roc(predictions)
        return {
            "labels": {
                "label": [record["label"] for record in table],
                "f1": [record["f1"] or 0.0 for record in table],
                "rows": [record["rows"] for record in table],
            },
            "roc": {"false_positive": mean.false_positive.tolist(), "true_positive": mean.true_positive.tolist()},
        }

    def figures(self, predictions: Predictions) -> list[Figure]:
        """Return the curves over all thresholds."""
        return _label_figures.label_set_figures(predictions)


def _by_label(predictions: Predictions) -> list[dict[str, Any]]:
    """Return a record for each label; a ratio is None if its denominator is 0."""
    found = label_sets.counts(predictions.truth, predictions.outputs, predictions.threshold)
    thresholds = np.broadcast_to(
        THRESHOLD if predictions.threshold is None else predictions.threshold, found.actual.shape
    )
    columns = {
        "precision": label_sets.precision(found),
        "recall": label_sets.recall(found),
        "f1": label_sets.f1(found),
        "average_precision": label_sets.average_precisions(predictions.truth, predictions.outputs),
        "roc_auc": label_sets.roc_aucs(predictions.truth, predictions.outputs),
    }
    return [
        {
            "label": name,
            "rows": int(found.actual[index]),
            **({} if predictions.threshold is None else {"threshold": float(thresholds[index])}),
            **{column: finite(values[index]) for column, values in columns.items()},
        }
        for index, name in enumerate(predictions.classes)
    ]


def _worst(predictions: Predictions) -> list[dict[str, Any]]:
    """Return the rows with the largest log loss."""
    losses = label_sets.row_losses(predictions.truth, predictions.outputs)
    chosen = predicted(predictions.outputs, predictions.threshold)
    ranked = np.argsort(-losses, kind="stable")[:MAX_WORST].tolist()
    return [
        {
            "row": int(predictions.number[index]),
            "actual": ", ".join(named(predictions.truth[index], predictions.classes)) or "none",
            "predicted": ", ".join(named(chosen[index], predictions.classes)) or "none",
            "log_loss": float(losses[index]),
        }
        for index in ranked
    ]
