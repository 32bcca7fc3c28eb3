"""Evaluation of anomalies: how well scores rank them above normal rows, and rates at the threshold.

The truth of an anomaly is 1, of other rows 0. Outputs have the mean squared error of the reconstruction and the score.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.figures import Figure, histogram, lines
from tiltyard.modeling.evaluators.base import Evaluator
from tiltyard.modeling.evaluators.reconstruction import FEATURES
from tiltyard.modeling.metrics import curves, scores
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.anomaly import ERROR, LABELS, SCORE, flags
from tiltyard.modeling.problems.base import Target

MAX_WORST, MAX_POINTS = 10, 200  # rows in a report, and points of a curve
SHOWN = 0.95  # share of the scores that are drawn to scale: a few may be very large


def mean_error(truth: Array, outputs: Array, _: Context) -> float:
    """Return the mean squared error of normal rows; of all rows if none is normal."""
    normal = outputs[truth == 0] if (truth == 0).any() else outputs
    return float(normal[:, ERROR].mean(dtype=np.float64))


def roc_auc(truth: Array, outputs: Array, _: Context) -> float:
    """Return the area under the ROC curve; 0.5 unless there are normal rows and anomalies."""
    is_anomaly = truth == 1
    if not 0 < is_anomaly.sum() < len(truth):
        return 0.5
    return scores.auc(is_anomaly, outputs[:, SCORE])


def average_precision(truth: Array, outputs: Array, _: Context) -> float:
    """Return the average precision of anomalies; 0 without any."""
    return scores.precision_of_steps(*curves.steps(truth == 1, outputs[:, SCORE])[1:])


def _rate_of(label: int) -> Callable[[Array, Array, Context], float]:
    """Return a function to the share of rows with a truth that are above the threshold; 0 without such rows."""

    def rate(truth: Array, outputs: Array, context: Context) -> float:
        flagged = flags(outputs, context.get("threshold", 0.0))[truth == label]
        return float(flagged.mean()) if len(flagged) else 0.0

    return rate


METRICS: dict[str, Metric] = {
    "roc_auc": Metric(
        "Area under the ROC curve (AUROC)",
        roc_auc,
        higher_is_better=True,
        meaning="the chance that an anomaly has a higher score than a normal row",
        bounds=(0, 1),
    ),
    "average_precision": Metric(
        "Average precision",
        average_precision,
        higher_is_better=True,
        meaning="the share of alarms that are anomalies, averaged over the detection rates that thresholds give",
        bounds=(0, 1),
    ),
    "detection_rate": Metric(
        "Detection rate at the threshold",
        _rate_of(1),
        higher_is_better=True,
        meaning="the share of anomalies whose score is above the threshold, which validation rows gave",
        bounds=(0, 1),
    ),
    "false_alarm_rate": Metric(
        "False alarm rate at the threshold",
        _rate_of(0),
        higher_is_better=False,
        meaning="the share of normal rows whose score is above the threshold",
        bounds=(0, 1),
    ),
    "mse": Metric(
        "Mean squared error (MSE) of the reconstruction of normal rows",
        mean_error,
        higher_is_better=False,
        meaning="the mean squared difference of the features: of pixels as shares of the brightest one, of numbers in "
        "standard deviations",
        bounds=(0, math.inf),
    ),
}
WITHOUT_LABELS = ("mse", "false_alarm_rate")  # the metrics of rows that are all taken for normal


class Anomaly(Evaluator):
    """The baseline gives all rows the same score, so that it ranks them by chance, and reconstructs their mean.

    Models that know more, such as principal components, are outlier detectors, none of which may be better.
    """

    metrics = METRICS
    baseline_title: ClassVar = "one score for all rows, which ranks them by chance; the error of the mean training row"

    def __init__(self, *, labelled: bool = True) -> None:
        self.labelled = labelled
        self.metrics = METRICS if labelled else {name: METRICS[name] for name in WITHOUT_LABELS}

    def of(self, target: Target) -> Evaluator:
        """Return the evaluator of a target; without labels it has fewer metrics."""
        return type(self)(labelled=bool(target.column))

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return the squared distance from the mean, and 0; `train` and `rows` hold standardised features."""
        errors = np.square(rows[FEATURES] - train.mean(axis=0, dtype=np.float64)).mean(axis=1)
        return np.stack([errors, np.zeros(len(errors))], axis=1)

    def worst_case(self, truth: Array, outputs: list[Array]) -> Array:
        """Return of several outputs for each row those with the worst score: of normal rows the highest."""
        candidates = np.stack(outputs)
        signed = np.where(truth == 1, -1, 1) * candidates[:, :, SCORE]
        worst: Array = candidates[signed.argmax(axis=0), np.arange(len(truth))]
        return worst

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return how many rows are normal and anomalies, and the rows that are ranked worst."""
        anomalies = int((predictions.truth == 1).sum())
        counts = {"normal": len(predictions.truth) - anomalies, "anomalies": anomalies}
        return {"test_labels": counts if self.labelled else None, "worst": _worst(predictions)}

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Return the score of every row with its label."""
        names = np.array(LABELS)[predictions.truth.astype(np.int64)].tolist() if self.labelled else None
        numbers, score = predictions.number.tolist(), predictions.outputs[:, SCORE].tolist()
        return {"scores": {"row": numbers, **({"actual": names} if names else {}), "score": score}}

    def figures(self, predictions: Predictions) -> list[Figure]:
        """Return the histogram of the scores with the threshold; with labels also ROC and precision-recall."""
        figure = _histogram(predictions, labelled=self.labelled)
        has_both = 0 < (predictions.truth == 1).sum() < len(predictions.truth)
        return [figure, *(_curves(predictions) if has_both else [])]


def misplaced(truth: Array, outputs: Array) -> Array:
    """Return the places of all rows, those first that are on the wrong side of most rows of the other kind.

    Without anomalies, the rows with the highest scores come first.
    """
    score, is_anomaly = outputs[:, SCORE].astype(np.float64), truth == 1
    normal, anomalies = np.sort(score[~is_anomaly]), np.sort(score[is_anomaly])
    if not len(normal) or not len(anomalies):
        return np.argsort(-score, kind="stable")
    below = np.searchsorted(anomalies, score) / len(anomalies)
    above = 1 - np.searchsorted(normal, score, "right") / len(normal)
    shares = np.where(is_anomaly, above, below)
    return np.lexsort((np.where(is_anomaly, score, -score), -shares))


def _worst(predictions: Predictions) -> list[dict[str, Any]]:
    flagged = flags(predictions.outputs, _threshold(predictions))
    return [
        {
            "row": int(predictions.number[index]),
            "actual": LABELS[int(predictions.truth[index])],
            "predicted": LABELS[int(flagged[index])],
            "score": float(predictions.outputs[index, SCORE]),
        }
        for index in misplaced(predictions.truth, predictions.outputs)[:MAX_WORST]
    ]


def _threshold(predictions: Predictions) -> float:
    threshold = predictions.threshold
    return threshold if isinstance(threshold, float) else 0.0


def _histogram(predictions: Predictions, *, labelled: bool) -> Figure:
    score, is_anomaly = predictions.outputs[:, SCORE].astype(np.float64), predictions.truth == 1
    threshold, flagged = _threshold(predictions), flags(predictions.outputs, _threshold(predictions))
    groups = {LABELS[int(kind)]: score[is_anomaly == kind] for kind in (False, True)}
    text = f"The score of each test row. Rows above the threshold, {threshold:.4g}, are anomalies: {flagged.mean():.1%}"
    if labelled and is_anomaly.any():
        text += f" of the rows, {flagged[is_anomaly].mean():.1%} of the anomalies (dashed)"
    else:
        text += " of the rows, which have no labels: how many of these are false alarms is not known"
    end = max(float(np.quantile(score, SHOWN)), 1.2 * threshold, float(score.min()))
    if (beyond := int((score > end).sum()) / len(score)) and end < score.max():
        text += f"; the {beyond:.1%} of the rows above {end:.4g} are drawn there"
    shown = {name: np.minimum(values, end) for name, values in groups.items() if len(values)}
    drawn = histogram("Scores", f"{text}.", shown)
    return replace(drawn, data={**drawn.data, "marks": [{"x": threshold, "name": "threshold"}]})


def _curves(predictions: Predictions) -> list[Figure]:
    """Return ROC and precision-recall curves."""
    is_anomaly, score = predictions.truth == 1, predictions.outputs[:, SCORE].astype(np.float64)
    roc, precision = curves.roc(is_anomaly, score), curves.precision(is_anomaly, score)
    chosen, kept = (curves.thin(curve.threshold, MAX_POINTS) for curve in (roc, precision))
    share = float(is_anomaly.mean())
    return [
        lines(
            "ROC",
            "Detection rate by false alarm rate, at every threshold, with the area under the curve; the point is at "
            "the model's own.",
            ("False alarm rate", "Detection rate"),
            {
                f"model, {roc.area:.3f}": {"x": roc.false_positive[chosen], "y": roc.true_positive[chosen]},
                "at the threshold": _at_threshold(predictions, is_anomaly),
                "by chance": {"x": [0, 1], "y": [0, 1], "dashed": True},
            },
            square=True,
        ),
        lines(
            "Precision and recall",
            "Share of alarms that are anomalies, by detection rate, at every threshold, with the average precision.",
            ("Detection rate", "Precision"),
            {
                f"model, {precision.average:.3f}": {"x": precision.recall[kept], "y": precision.precision[kept]},
                "by chance": {"x": [0, 1], "y": [share, share], "dashed": True},
            },
            square=True,
        ),
    ]


def _at_threshold(predictions: Predictions, is_anomaly: Array) -> dict[str, Any]:
    flagged = flags(predictions.outputs, _threshold(predictions))
    return {"x": [float(flagged[~is_anomaly].mean())], "y": [float(flagged[is_anomaly].mean())], "dots": True}
