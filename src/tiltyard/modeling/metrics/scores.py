"""Metric functions, in 64-bit floats; `truth` has the shape (rows,)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.columns.base import unit
from tiltyard.modeling.metrics.curves import steps
from tiltyard.modeling.problems import classification

ALARMS = 0.01  # share of the rows of other classes that may be false alarms
SMALLEST = 1e-290  # below this, a mean of squares has lost precision


def mae(truth: Array, value: Array) -> float:
    """Return the mean absolute error."""
    return float(np.mean(np.abs(value.astype(np.float64) - truth.astype(np.float64))))


def mse(truth: Array, value: Array) -> float:
    """Return the mean squared error."""
    return float(np.mean((value.astype(np.float64) - truth.astype(np.float64)) ** 2))


def rmse(truth: Array, value: Array) -> float:
    """Return the root mean squared error."""
    if (error := mse(truth, value)) > SMALLEST:
        return float(np.sqrt(error))
    scaled = unit(np.concatenate([truth, value]).astype(np.float64))  # squares of small numbers underflow
    return float(np.sqrt(mse(truth / scaled, value / scaled))) * scaled


def r2(truth: Array, value: Array) -> float:
    """Return R², the share of variance explained; 0 if the truth is constant and not predicted exactly."""
    variance, error = float(np.var(truth.astype(np.float64))), mse(truth, value)
    if not variance > SMALLEST:  # squares of small numbers underflow; R² does not depend on the unit
        scaled = unit(np.concatenate([truth, value]).astype(np.float64))
        variance, error = float(np.var(truth / scaled)), mse(truth / scaled, value / scaled)
    return 1.0 - error / variance if variance > 0 else float(error == 0)


def accuracy(matrix: Array) -> float:
    """Return the accuracy: the share of rows on the diagonal."""
    return float(np.trace(matrix) / matrix.sum())


def recall(matrix: Array) -> Array:
    """Return the recall of each class; NaN for a class without rows."""
    return ratio(np.diag(matrix), matrix.sum(axis=1))


def precision(matrix: Array) -> Array:
    """Return the precision of each class; NaN for a class never predicted."""
    return ratio(np.diag(matrix), matrix.sum(axis=0))


def f1(matrix: Array) -> Array:
    """Return the F1 of each class; NaN for a class neither true nor predicted."""
    return ratio(2 * np.diag(matrix), matrix.sum(axis=0) + matrix.sum(axis=1))


def balanced_accuracy(matrix: Array) -> float:
    """Return the balanced accuracy: the mean recall of the classes with rows."""
    return float(np.nanmean(recall(matrix)))


def macro_f1(matrix: Array) -> float:
    """Return the macro F1 over the classes that are true or predicted."""
    return float(np.nanmean(f1(matrix)))


def log_loss(truth: Array, probabilities: Array) -> float:
    """Return the log loss, clipped to be finite."""
    true_probability = probabilities[np.arange(len(truth)), truth.astype(np.int64)].astype(np.float64)
    return float(-np.mean(np.log(np.clip(true_probability, 1e-15, 1.0))))


def brier(truth: Array, probabilities: Array) -> float:
    """Return the Brier score over all classes: 0 is best, 2 is worst."""
    class_probabilities = probabilities.astype(np.float64)
    true_probability = class_probabilities[np.arange(len(truth)), truth.astype(np.int64)]
    return float(np.mean((class_probabilities**2).sum(axis=1) - 2 * true_probability + 1))


def ece(truth: Array, probabilities: Array) -> float:
    """Return the expected calibration error over ten bins of equal size.

    Rows are sorted by the probability of the predicted label and divided into bins of equal counts.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    order = np.argsort(confidence, kind="stable")
    gaps = [abs(confidence[rows].sum() - correct[rows].sum()) for rows in np.array_split(order, min(10, len(order)))]
    return float(sum(gaps) / len(order))


def roc_auc(truth: Array, probabilities: Array) -> float:
    """Return the ROC AUC, averaged over classes against the rest; ties count half.

    Classes without rows, or without other rows, are left out; 0.5 if none is left.
    """
    aucs = []
    for label in range(probabilities.shape[1]):
        is_member = truth == label
        if 0 < is_member.sum() < len(truth):
            aucs.append(auc(is_member, probabilities[:, label]))
    return float(np.mean(aucs)) if aucs else 0.5


def average_precision(truth: Array, probabilities: Array, rare: int | None = None) -> float:
    """Return the average precision of the rarer of two classes, or averaged over more; 0 for a class without rows."""
    return of_ranked_classes(probabilities.shape[1], truth, rare, lambda label: _precision(truth, probabilities, label))


def recall_at_few_alarms(truth: Array, probabilities: Array, rare: int | None = None) -> float:
    """Return the highest recall of the same classes at which at most 1 % of the other rows are false alarms."""
    return of_ranked_classes(probabilities.shape[1], truth, rare, lambda label: _recall(truth, probabilities, label))


def of_ranked_classes(classes: int, truth: Array, rare: int | None, of_class: Callable[[int], float]) -> float:
    """Return the value of the rarer of two classes, or the mean over more; `rare` is the index of the rarer one."""
    if classes == 2:
        return of_class(int(np.bincount(truth.astype(np.int64), minlength=2).argmin()) if rare is None else rare)
    return float(np.mean([of_class(label) for label in range(classes)]))


def precision_of_steps(hits: Array, alarms: Array) -> float:
    """Return the average precision, from the positive and negative rows at or above each threshold."""
    if not hits[-1]:
        return 0.0
    return float(np.sum(np.diff(hits, prepend=0) * (hits / (hits + alarms))) / hits[-1])


def recall_of_steps(hits: Array, alarms: Array) -> float:
    """Return the highest recall with at most 1 % false alarms, from the same counts."""
    allowed = hits[alarms <= ALARMS * alarms[-1]]
    return float(allowed[-1] / hits[-1]) if len(allowed) and hits[-1] else 0.0


def row_errors(truth: Array, outputs: Array, *, labels: bool, scales: Array | None = None) -> Array:
    """Return the error of each row: 1 minus the probability of the true label, or the absolute error.

    Of several labels it is the mean; of several steps it is that of the first; of several numbers, which `scales` are
    for, it is the mean of the errors divided by these.
    """
    if scales is not None:
        return np.asarray(np.abs((outputs - truth) / scales).mean(axis=1))
    if truth.dtype.kind == "b":
        return np.asarray(np.abs(outputs - truth).mean(axis=1))
    if labels:
        class_probabilities = classification.probabilities(outputs)
        return np.asarray(1 - class_probabilities[np.arange(len(truth)), truth.astype(np.int64)])
    value, actual = (array.reshape(len(truth), -1)[:, 0] for array in (outputs, truth))
    return np.asarray(np.abs(value - actual))


def _precision(truth: Array, probabilities: Array, label: int) -> float:
    return precision_of_steps(*steps(truth == label, probabilities[:, label])[1:])


def _recall(truth: Array, probabilities: Array, label: int) -> float:
    return recall_of_steps(*steps(truth == label, probabilities[:, label])[1:])


def auc(is_member: Array, score: Array) -> float:
    """Return the share of pairs in the right order; sorted values make the search faster."""
    members, non_members = np.sort(score[is_member]), np.sort(score[~is_member])
    below, not_above = non_members.searchsorted(members), non_members.searchsorted(members, "right")
    return float((below + not_above).sum() / (2 * len(members) * len(non_members)))


def ratio(numerator: Array, denominator: Array) -> Array:
    """Return ratios; NaN where the denominator is 0."""
    ratio: Array = np.divide(numerator, denominator, out=np.full(len(denominator), np.nan), where=denominator > 0)
    return ratio
