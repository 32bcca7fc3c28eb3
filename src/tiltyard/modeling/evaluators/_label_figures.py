"""Plots of classification: confusion matrix, rates of two classes, ROC, precision-recall and calibration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tiltyard import figures
from tiltyard.arrays import Array
from tiltyard.figures import Figure
from tiltyard.modeling.metrics import curves
from tiltyard.modeling.metrics.classification import binary_metrics, finite, matrix
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.classification import probabilities

DRAWN, POINTS = 6, 200  # most curves in a plot, and most points of each
NOTHING = curves.Roc(
    np.array([np.inf, 0.0]), np.array([0.0, 1.0]), np.array([0.0, 1.0])
)  # if all rows are of one class


def drawn(predictions: Predictions) -> list[Figure]:
    """Return the matrix, then the curves."""
    return [_confusion(predictions), *_readings(predictions), *_curves(predictions), _calibration(predictions)]


def mean_roc(predictions: Predictions) -> curves.Roc:
    """Return the mean of the curves of all classes."""
    return curves.macro([*rocs(predictions).values()] or [NOTHING])


def rocs(predictions: Predictions) -> dict[str, curves.Roc]:
    """Return the curve of each class against the others; of two classes only the second's: they are mirrored."""
    return {name: curves.roc(inside, score) for name, inside, score in _against(predictions)}


def _against(predictions: Predictions) -> Iterator[tuple[str, Array, Array]]:
    """Yield each class that has rows and others: its name, which rows are of it, and the probability that they got."""
    shares, truth = probabilities(predictions.outputs).astype(np.float64), predictions.truth.astype(np.int64)
    for place, name in enumerate(predictions.classes):
        inside = truth == place
        if 0 < inside.sum() < len(truth) and (place or len(predictions.classes) > 2):
            yield name, inside, shares[:, place]


def _confusion(predictions: Predictions) -> Figure:
    return figures.matrix(
        "Confusion",
        "Test rows by actual and predicted label; the shade is the share of the actual label's rows.",
        ("Actual", "Predicted"),
        (predictions.classes, predictions.classes),
        matrix(predictions.truth, predictions.outputs),
        by_row=True,
    )


def _readings(predictions: Predictions) -> list[Figure]:
    """Return the table of rates for two classes."""
    if len(predictions.classes) != 2:
        return []
    told = binary_metrics(matrix(predictions.truth, predictions.outputs))
    text = f"Where {predictions.classes[1]} is what is looked for."
    return [figures.table("Read off the matrix", text, [{"figure": n, "value": finite(v)} for n, v in told.items()])]


def _curves(predictions: Predictions) -> list[Figure]:
    """Draw the ROC and precision-recall curves of each class, of many classes the worst ones."""
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
            f"What is found over what is falsely alarmed, at every threshold: {some}, with the area below.",
            ("False positive rate", "True positive rate"),
            roc,
            square=True,
        ),
        figures.lines(
            "Precision and recall",
            f"How much of what is found is right, over how much is found: {some}, with the mean precision.",
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
    """Draw the calibration curve of the likeliest label, or of the second of two classes."""
    shares, truth = probabilities(predictions.outputs).astype(np.float64), predictions.truth.astype(np.int64)
    two = len(predictions.classes) == 2
    stated, came = (shares[:, 1], truth == 1) if two else (shares.max(axis=1), shares.argmax(axis=1) == truth)
    found, what = curves.calibration(came, stated), predictions.classes[1] if two else "the likeliest label"
    return figures.lines(
        "Calibration",
        f"How often {what} is right among answers that are about as sure; on the line a stated 70 % means 70 %.",
        ("Stated probability", "Came true"),
        {
            "model": {"x": found.stated, "y": found.came, "rows": found.rows, "dots": True},
            "honest": {"x": [0, 1], "y": [0, 1], "dashed": True},
        },
        square=True,
    )
