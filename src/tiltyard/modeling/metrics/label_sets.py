"""Metrics of rows with any number of labels: `truth` is Boolean, (rows, labels), `outputs` are probabilities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.metrics.scores import ratio
from tiltyard.modeling.problems.multilabel import predicted

SMALLEST = 1e-15  # probability whose logarithm is taken: that of 0 is infinite


class Counts(NamedTuple):
    """Rows by label: with the label rightly predicted, with it predicted, and that have it."""

    hits: Array
    predicted: Array
    actual: Array


def counts(truth: Array, outputs: Array) -> Counts:
    """Count the rows of each label."""
    chosen = predicted(outputs)
    return Counts((chosen & truth).sum(axis=0), chosen.sum(axis=0), truth.sum(axis=0))


def precision(found: Counts) -> Array:
    """Return the precision of each label; NaN for a label never predicted."""
    return ratio(found.hits, found.predicted)


def recall(found: Counts) -> Array:
    """Return the recall of each label; NaN for a label that no row has."""
    return ratio(found.hits, found.actual)


def f1(found: Counts) -> Array:
    """Return the F1 of each label; NaN for a label that no row has and that is never predicted."""
    return ratio(2 * found.hits, found.predicted + found.actual)


def micro_f1(truth: Array, outputs: Array) -> float:
    """Return the F1 of all labels of all rows together; 0 if there are none."""
    found = counts(truth, outputs)
    total = int(found.predicted.sum() + found.actual.sum())
    return 2 * int(found.hits.sum()) / total if total else 0.0


def macro_f1(truth: Array, outputs: Array) -> float:
    """Return the mean F1 of the labels that are true or predicted; 0 if there are none."""
    values = f1(counts(truth, outputs))
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def hamming_loss(truth: Array, outputs: Array) -> float:
    """Return the share of wrong decisions, one for each row and label."""
    return float((predicted(outputs) != truth).mean())


def subset_accuracy(truth: Array, outputs: Array) -> float:
    """Return the share of rows with exactly the predicted labels."""
    return float((predicted(outputs) == truth).all(axis=1).mean())


def log_loss(truth: Array, outputs: Array) -> float:
    """Return the mean log loss of all decisions, clipped to be finite."""
    return float(row_losses(truth, outputs).mean())


def row_losses(truth: Array, outputs: Array) -> Array:
    """Return the log loss of each row, a mean over the labels."""
    probabilities = outputs.astype(np.float64)
    right = np.where(truth, probabilities, 1 - probabilities)
    return np.asarray(-np.log(np.clip(right, SMALLEST, 1.0)).mean(axis=1))


def average_precision(truth: Array, outputs: Array) -> float:
    """Return the mean average precision of the labels; 0 for a label that no row has, as scikit-learn does.

    If such labels were left out, resamples that lack a rare label, which is hard to predict, would have better means.
    """
    return float(np.nan_to_num(average_precisions(truth, outputs)).mean())


def average_precisions(truth: Array, outputs: Array) -> Array:
    """Return the average precision of each label; NaN for a label that no row has. Ties share a threshold.

    All labels are computed at once, since the bootstrap calls this thousands of times.
    """
    order = np.argsort(-outputs.T, axis=1)
    scores, members = (np.take_along_axis(array.T, order, axis=1) for array in (outputs, truth))
    last = np.full(scores.shape, len(truth) - 1)
    places = np.arange(len(truth) - 1)
    last[:, :-1] = np.where(scores[:, 1:] != scores[:, :-1], places, len(truth) - 1)
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]  # the place where the ties of each row end
    hits = members.cumsum(axis=1)
    precisions = np.take_along_axis(hits, last, axis=1) / (last + 1)
    return ratio((precisions * members).sum(axis=1), hits[:, -1])
