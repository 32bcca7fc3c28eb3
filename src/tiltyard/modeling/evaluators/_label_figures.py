"""Plots of classification: confusion matrix, rates of two classes, ROC, precision-recall and calibration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tiltyard import figures
from tiltyard.arrays import Array
from tiltyard.figures import Figure
from tiltyard.modeling.metrics import curves
from tiltyard.modeling.metrics.confusion_matrix import binary_metrics, finite, matrix
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.classification import probabilities

DRAWN, POINTS = 6, 200  # maximum number of curves in a plot, and of points of a curve
NOTHING = curves.Roc(
    np.array([np.inf, 0.0]), np.array([0.0, 1.0]), np.array([0.0, 1.0])
)  # no curves if all rows have the same class


def label_figures(predictions: Predictions) -> list[Figure]:
    """Return the confusion matrix, then the curves."""
    return [_confusion(predictions), *_readings(predictions), *_curves(predictions), _calibration(predictions)]


def mean_roc(predictions: Predictions) -> curves.Roc:
    """Return the mean of the curves of all classes."""
    return curves.macro([*rocs(predictions).values()] or [NOTHING])


def rocs(predictions: Predictions) -> dict[str, curves.Roc]:
    """Return the ROC curve of each class against the others; of two classes only that of the second."""
    return {name: curves.roc(inside, score) for name, inside, score in _against(predictions)}


def _against(predictions: Predictions) -> Iterator[tuple[str, Array, Array]]:
    """Yield name, membership of rows and probabilities of each class for which there are rows of it and of others."""
    shares, truth = probabilities(predictions.outputs).astype(np.float64), predictions.truth.astype(np.int64)
    for place, name in enumerate(predictions.classes):
        inside = truth == place
        if 0 < inside.sum() < len(truth) and (place or len(predictions.classes) > 2):
            yield name, inside, shares[:, place]


def _confusion(predictions: Predictions) -> Figure:
    return figures.matrix(
        "Confusion matrix",
        "Test rows by actual and predicted label; the shade is the share of rows with that actual label.",
        ("Actual", "Predicted"),
        (predictions.classes, predictions.classes),
        matrix(predictions.truth, predictions.outputs, predictions.threshold),
        by_row=True,
    )


def _readings(predictions: Predictions) -> list[Figure]:
    """Return the table of rates for two classes."""
    if len(predictions.classes) != 2:
        return []
    told = binary_metrics(matrix(predictions.truth, predictions.outputs, predictions.threshold))
    text = f"{predictions.classes[1]} counts as the positive class."
    return [
        figures.table("Rates of the positive class", text, [{"rate": n, "value": finite(v)} for n, v in told.items()])
    ]


def _curves(predictions: Predictions) -> list[Figure]:
    """Return ROC and precision-recall curves of each class, or of the worst ones if there are many."""
    found = rocs(predictions)
    if not found:
        return []
    names = sorted(found, key=lambda name: found[name].area)[:DRAWN]
    precise = {name: curves.precision(inside, score) for name, inside, score in _against(predictions)}
    some = f"the {DRAWN} worst of {len(found)} classes" if len(found) > DRAWN else "each class against the others"
    mean = curves.macro([*found.values()])
    roc = {f"{name}, {found[name].area:.3f}": _roc(found[name]) for name in names}
    if len(found) > 1:
        roc[f"mean, {np.mean([curve.area for curve in found.values()]):.3f}"] = {**_roc(mean), "strong": True}
    roc["by chance"] = {"x": [0, 1], "y": [0, 1], "dashed": True}
    return [
        figures.lines(
            "ROC",
            f"True positive rate by false positive rate, at every threshold: {some}, with the area under the curve.",
            ("False positive rate", "True positive rate"),
            roc,
            square=True,
        ),
        figures.lines(
            "Precision and recall",
            f"Precision by recall, at every threshold: {some}, with the average precision.",
            ("Recall", "Precision"),
            {f"{name}, {precise[name].average:.3f}": _precise(precise[name]) for name in names},
            square=True,
        ),
    ]


def _roc(curve: curves.Roc) -> dict[str, Any]:
    places = curves.thin(curve.threshold, POINTS)
    told = {"threshold": curve.threshold[places]} if np.isfinite(curve.threshold[-1]) else {}
    return {"x": curve.false_positive[places], "y": curve.true_positive[places], **told}


def _precise(curve: curves.Precision) -> dict[str, Any]:
    places = curves.thin(curve.threshold, POINTS)
    return {"x": curve.recall[places], "y": curve.precision[places], "threshold": curve.threshold[places]}


def _calibration(predictions: Predictions) -> Figure:
    """Return the calibration curve of the predicted label, or of the second of two classes."""
    shares, truth = probabilities(predictions.outputs).astype(np.float64), predictions.truth.astype(np.int64)
    two = len(predictions.classes) == 2
    stated, came = (shares[:, 1], truth == 1) if two else (shares.max(axis=1), shares.argmax(axis=1) == truth)
    found, what = curves.calibration(came, stated), predictions.classes[1] if two else "the predicted label"
    return figures.lines(
        "Calibration",
        f"How often {what} is right, by its predicted probability; on the line, 70 % of predictions at 70 % are right.",
        ("Predicted probability", "Observed frequency"),
        {
            "model": {"x": found.stated, "y": found.came, "rows": found.rows, "dots": True},
            "calibrated": {"x": [0, 1], "y": [0, 1], "dashed": True},
        },
        square=True,
    )
