"""Plots of labels: confusion matrix, rates of two classes, ROC, precision-recall and calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tiltyard import figures
from tiltyard.arrays import Array
from tiltyard.figures import Figure
from tiltyard.modeling.metrics import curves
from tiltyard.modeling.metrics.confusion_matrix import binary_metrics, finite, matrix
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.classification import probabilities

MAX_CURVES, MAX_POINTS = 6, 200  # maximum number of curves in a plot, and of points of a curve
THRESHOLDS = tuple(tenth / 10 for tenth in range(1, 10))  # at which rates are listed
# The curve by chance, for rows that all have the same class.
CHANCE = curves.Roc(np.array([np.inf, 0.0]), np.array([0.0, 1.0]), np.array([0.0, 1.0]))


def label_figures(predictions: Predictions) -> list[Figure]:
    """Return the confusion matrix, then the curves."""
    calibration = _calibration(*_confidence(predictions))
    return [_confusion(predictions), *_rates_table(predictions), *_curves(predictions), calibration]


def label_set_figures(predictions: Predictions) -> list[Figure]:
    """Return the curves of rows with any number of labels."""
    outputs, truth = predictions.outputs.astype(np.float64).ravel(), predictions.truth.ravel()
    return [*_curves(predictions), _calibration("a label", outputs, truth)]


def mean_roc(predictions: Predictions) -> curves.Roc:
    """Return the mean of the curves of all classes."""
    return curves.macro([*rocs(predictions).values()] or [CHANCE])


def rocs(predictions: Predictions) -> dict[str, curves.Roc]:
    """Return the ROC curve of each class against the others; of two classes only that of the second."""
    return {name: curves.roc(is_member, score) for name, is_member, score in _one_against_rest(predictions)}


def _one_against_rest(predictions: Predictions) -> Iterator[tuple[str, Array, Array]]:
    """Yield name, membership of rows and probabilities of each class, if there are rows of it and of others."""
    class_probabilities = probabilities(predictions.outputs).astype(np.float64)
    truth, one_label = predictions.truth, predictions.truth.ndim == 1
    for index, name in enumerate(predictions.classes):
        is_member = truth.astype(np.int64) == index if one_label else truth[:, index]
        if 0 < is_member.sum() < len(truth) and (index or len(predictions.classes) > 2 or not one_label):
            yield name, is_member, class_probabilities[:, index]


def _confusion(predictions: Predictions) -> Figure:
    return figures.matrix(
        "Confusion matrix",
        "Test rows by actual and predicted label; the shade is the share of rows with that actual label.",
        ("Actual", "Predicted"),
        (predictions.classes, predictions.classes),
        matrix(predictions.truth, predictions.outputs, predictions.threshold),
        by_row=True,
    )


def _rates_table(predictions: Predictions) -> list[Figure]:
    """Return the tables of rates for two classes: as the model decides, and at other thresholds."""
    if len(predictions.classes) != 2:
        return []
    rates = binary_metrics(matrix(predictions.truth, predictions.outputs, predictions.threshold))
    text = f"{predictions.classes[1]} counts as the positive class."
    return [
        figures.table("Rates of the positive class", text, [{"rate": n, "value": finite(v)} for n, v in rates.items()]),
        _thresholds_table(predictions),
    ]


def _curves(predictions: Predictions) -> list[Figure]:
    """Return ROC and precision-recall curves of each class, or of the worst ones if there are many."""
    rocs_by_class = rocs(predictions)
    if not rocs_by_class:
        return []
    names = sorted(rocs_by_class, key=lambda name: rocs_by_class[name].area)[:MAX_CURVES]
    precisions = {name: curves.precision(is_member, score) for name, is_member, score in _one_against_rest(predictions)}
    many = len(rocs_by_class) > MAX_CURVES
    which = f"the {MAX_CURVES} worst of {len(rocs_by_class)} classes" if many else "each class against the others"
    roc = {f"{name}, {rocs_by_class[name].area:.3f}": _roc_points(rocs_by_class[name]) for name in names}
    roc |= _decisions(predictions, names)
    if len(rocs_by_class) > 1:
        mean_area = np.mean([curve.area for curve in rocs_by_class.values()])
        mean = curves.macro([*rocs_by_class.values()])
        roc[f"mean, {mean_area:.3f}"] = {**_roc_points(mean), "strong": True}
    roc["by chance"] = {"x": [0, 1], "y": [0, 1], "dashed": True}
    return [
        figures.lines(
            "ROC",
            f"True positive rate by false positive rate, at every threshold: {which}, with the area under the curve.",
            ("False positive rate", "True positive rate"),
            roc,
            square=True,
        ),
        figures.lines(
            "Precision and recall",
            f"Precision by recall, at every threshold: {which}, with the average precision.",
            ("Recall", "Precision"),
            {f"{name}, {precisions[name].average:.3f}": _precision_points(precisions[name]) for name in names},
            square=True,
        ),
    ]


def _decisions(predictions: Predictions, names: Sequence[str]) -> dict[str, Any]:
    """Return the point of each curve at which the model decides, if thresholds were chosen for it."""
    if predictions.threshold is None:
        return {}
    points = {}
    for name, is_member, score in _one_against_rest(predictions):
        if name in names:
            threshold = _threshold_of(predictions, name)
            rates = curves.rates_at(is_member, score, threshold)
            points[f"{name} from {threshold:.3g} on"] = {
                "x": [rates.false_positive],
                "y": [rates.true_positive],
                "threshold": [threshold],
                "dots": True,
            }
    return points


def _threshold_of(predictions: Predictions, name: str) -> float:
    """Return the probability from which a label is predicted."""
    threshold = predictions.threshold
    return float(threshold[predictions.classes.index(name)] if isinstance(threshold, list) else threshold or 0.5)


def _thresholds_table(predictions: Predictions) -> Figure:
    """Return the rates of the second of two classes at some thresholds, and at that of the model."""
    score, is_member = probabilities(predictions.outputs)[:, 1], predictions.truth.astype(np.int64) == 1
    own = [] if predictions.threshold is None else [_threshold_of(predictions, predictions.classes[1])]
    records = []
    for threshold in sorted({*THRESHOLDS, *own}):
        rates = curves.rates_at(is_member, score, threshold)
        records.append(
            {
                "threshold": threshold,
                "true positive rate": finite(rates.true_positive),
                "false positive rate": finite(rates.false_positive),
                "precision": finite(rates.precision),
                "the model's": "yes" if own == [threshold] else "",
            }
        )
    text = f"{predictions.classes[1]} is predicted from the threshold on."
    return figures.table("Rates by threshold", text, records)


def _roc_points(curve: curves.Roc) -> dict[str, Any]:
    indices = curves.thin(curve.threshold, MAX_POINTS)
    thresholds = {"threshold": curve.threshold[indices]} if np.isfinite(curve.threshold[-1]) else {}
    return {"x": curve.false_positive[indices], "y": curve.true_positive[indices], **thresholds}


def _precision_points(curve: curves.Precision) -> dict[str, Any]:
    indices = curves.thin(curve.threshold, MAX_POINTS)
    return {"x": curve.recall[indices], "y": curve.precision[indices], "threshold": curve.threshold[indices]}


def _confidence(predictions: Predictions) -> tuple[str, Array, Array]:
    """Return what is predicted, the label or the second of two classes, its probability, and whether it is right."""
    class_probabilities = probabilities(predictions.outputs).astype(np.float64)
    truth = predictions.truth.astype(np.int64)
    if len(predictions.classes) == 2:
        return predictions.classes[1], class_probabilities[:, 1], truth == 1
    return "the predicted label", class_probabilities.max(axis=1), class_probabilities.argmax(axis=1) == truth


def _calibration(name: str, probability: Array, outcome: Array) -> Figure:
    """Return the calibration curve."""
    curve = curves.calibration(outcome, probability)
    return figures.lines(
        "Calibration",
        f"How often {name} is right, by its predicted probability; on the line, 70 % of predictions at 70 % are right.",
        ("Predicted probability", "Observed frequency"),
        {
            "model": {"x": curve.stated, "y": curve.came, "rows": curve.rows, "dots": True},
            "calibrated": {"x": [0, 1], "y": [0, 1], "dashed": True},
        },
        square=True,
    )
