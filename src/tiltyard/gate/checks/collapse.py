"""No class has collapsed: the recall of each class is above the minimum."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel
from tiltyard.modeling.metrics import scores
from tiltyard.modeling.metrics.confusion_matrix import matrix
from tiltyard.modeling.problems.classification import probabilities
from tiltyard.modeling.problems.multilabel import predicted

FEWEST = 5  # sealed rows of one of several labels: there may be hundreds, most of them rare
RANKING = ("roc_auc", "average_precision", "recall_at_1pct_fpr")  # metrics that do not depend on labels


class Collapse(Check):
    """A good average can hide a class that the model never predicts."""

    code: ClassVar = "collapse"
    title: ClassVar = "no class collapsed"
    severity: ClassVar = "REJECT"

    def observe(self, duel: Duel) -> Observation:
        """Require the recall of every class in the test rows to be at least the task's minimum."""
        classes, minimum = duel.task.labels, duel.task.gate.min_recall
        if not classes:
            raise NotApplicableError(f"{duel.task.problem} has no classes")
        recall, how = _recall(duel)
        lost = [f"{classes[place]} {recall[place]:.4g}" for place in np.flatnonzero(recall < minimum)]
        lowest = int(np.nanargmin(recall))
        recalls = (
            f"recall of {', '.join(lost)}" if lost else f"lowest recall {recall[lowest]:.4g}, of {classes[lowest]}"
        )
        text = f"{recalls}{how}; expected at least {minimum:g} of every class"
        return Observation(not lost, text, float(recall[lowest]), minimum)


def _recall(duel: Duel) -> tuple[Array, str]:
    """Return the recall of each class by the labels that are served; ranked classes are asked at their frequency.

    A model that is judged by its ranking may never give a class the largest probability. It has collapsed if it hardly
    ever gives a class more than the frequency in the training rows. The same holds of labels of which a row may have
    several and that have no thresholds: most have far less than half of the rows.
    """
    by_frequency = " at probabilities above the frequencies of the training rows"
    if duel.task.problem_type.targets in ("objects", "mask"):
        return duel.task.evaluator.recalls(duel.truth, duel.challenger, len(duel.task.labels)), ""
    if duel.task.problem == "multilabel":
        chosen = duel.threshold is not None
        given = predicted(duel.challenger, duel.threshold) if chosen else duel.challenger > duel.baseline
        found, rows = (given & duel.truth).sum(axis=0), duel.truth.sum(axis=0)
        if rows.max() < FEWEST:
            raise NotApplicableError(f"no label has {FEWEST} sealed rows")
        how = " at the threshold of each label" if chosen else by_frequency
        return scores.ratio(found, np.where(rows < FEWEST, 0, rows)), how
    if duel.threshold is not None:
        return scores.recall(matrix(duel.truth, duel.challenger, duel.threshold)), f" at {duel.threshold:.3g}"
    if duel.task.gate.metric not in RANKING:
        return scores.recall(matrix(duel.truth, duel.challenger)), ""
    raised = probabilities(duel.challenger) > probabilities(duel.baseline)
    recalled = raised[np.arange(len(duel.truth)), duel.truth.astype(np.int64)]
    rows = np.bincount(duel.truth.astype(np.int64), minlength=raised.shape[1])
    hits = np.bincount(duel.truth.astype(np.int64), weights=recalled, minlength=raised.shape[1])
    return scores.ratio(hits, rows), by_frequency
