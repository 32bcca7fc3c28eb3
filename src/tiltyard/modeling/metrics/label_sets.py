"""Metrics of rows with any number of labels: `truth` is Boolean, (rows, labels), `outputs` are probabilities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.metrics.scores import ratio
from tiltyard.modeling.problems.base import Threshold
from tiltyard.modeling.problems.multilabel import predicted

SMALLEST = 1e-15  # probability whose logarithm is taken: that of 0 is infinite


class Counts(NamedTuple):
    """Rows by label: with the label rightly predicted, with it predicted, and that have it."""

    hits: Array
    predicted: Array
    actual: Array


def counts(truth: Array, outputs: Array, threshold: Threshold | None = None) -> Counts:
    """Count the rows of each label."""
    chosen = predicted(outputs, threshold)
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


def micro_f1(truth: Array, outputs: Array, threshold: Threshold | None = None) -> float:
    """Return the F1 of all labels of all rows together; 0 if there are none."""
    found = counts(truth, outputs, threshold)
    total = int(found.predicted.sum() + found.actual.sum())
    return 2 * int(found.hits.sum()) / total if total else 0.0


def macro_f1(truth: Array, outputs: Array, threshold: Threshold | None = None) -> float:
    """Return the mean F1 of the labels that are true or predicted; 0 if there are none."""
    values = f1(counts(truth, outputs, threshold))
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def hamming_loss(truth: Array, outputs: Array, threshold: Threshold | None = None) -> float:
    """Return the share of wrong decisions, one for each row and label."""
    return float((predicted(outputs, threshold) != truth).mean())


def subset_accuracy(truth: Array, outputs: Array, threshold: Threshold | None = None) -> float:
    """Return the share of rows with exactly the predicted labels."""
    return float((predicted(outputs, threshold) == truth).all(axis=1).mean())


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
    """Return the average precision of each label; NaN for a label that no row has. Ties share a threshold."""
    ranked = Ranked.of(truth, outputs)
    precisions = ranked.found / (ranked.last + 1)
    return ratio((precisions * ranked.members).sum(axis=1), ranked.members.sum(axis=1))


def roc_auc(truth: Array, outputs: Array) -> float:
    """Return the mean ROC AUC of the labels that some rows have and others have not; 0.5 if there are none."""
    values = roc_aucs(truth, outputs)
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.5


def roc_aucs(truth: Array, outputs: Array) -> Array:
    """Return the ROC AUC of each label; NaN for a label that no row has or that all have. Ties count half."""
    ranked = Ranked.of(truth, outputs)
    hits = ranked.members.sum(axis=1)
    others = len(truth) - hits
    above = ranked.first - ranked.found_before  # rows without the label, before the ties of a row and up to their end
    not_below = ranked.last + 1 - ranked.found
    worse = ((above + not_below) / 2 * ranked.members).sum(axis=1)  # pairs in the wrong order
    return 1 - ratio(worse, hits * others)


class Ranked(NamedTuple):
    """The rows of each label, (labels, rows), by descending probability; the rows of a tie have the same places.

    All labels are ranked at once, since the bootstrap calls this thousands of times.
    """

    members: Array  # whether the row has the label
    first: Array  # the place where the ties of each row begin, and end
    last: Array
    found_before: Array  # rows with the label before these ties, and up to their end
    found: Array

    @classmethod
    def of(cls, truth: Array, outputs: Array) -> Ranked:
        """Rank the rows by each label."""
        order = np.argsort(-outputs.T, axis=1)
        scores, members = (np.take_along_axis(array.T, order, axis=1) for array in (outputs, truth))
        places = np.arange(len(truth))
        changes = scores[:, 1:] != scores[:, :-1]
        first, last = np.zeros(scores.shape, dtype=np.int64), np.full(scores.shape, len(truth) - 1)
        first[:, 1:] = np.where(changes, places[1:], 0)
        last[:, :-1] = np.where(changes, places[:-1], len(truth) - 1)
        first = np.maximum.accumulate(first, axis=1)
        last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
        found = members.cumsum(axis=1)
        before = np.take_along_axis(found - members, first, axis=1)
        return cls(members, first, last, before, np.take_along_axis(found, last, axis=1))
