"""No class has collapsed: the recall of each class is above the minimum."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel
from tiltyard.modeling.metrics import scores
from tiltyard.modeling.metrics.confusion_matrix import matrix


class Collapse(Check):
    """A good average can hide a class that the model never predicts."""

    code: ClassVar = "collapse"
    title: ClassVar = "no class collapsed"
    severity: ClassVar = "REJECT"

    def observe(self, duel: Duel) -> Observation:
        """Require the recall of every class in the test rows to be at least the task's minimum."""
        classes, least = duel.task.classes, duel.task.gate.min_recall
        if not classes:
            raise NotApplicableError(f"{duel.task.problem} has no classes")
        recall = scores.recall(matrix(duel.truth, duel.challenger))
        lost = [f"{classes[place]} {recall[place]:.4g}" for place in np.flatnonzero(recall < least)]
        lowest = int(np.nanargmin(recall))
        recalls = (
            f"recall of {', '.join(lost)}" if lost else f"lowest recall {recall[lowest]:.4g}, of {classes[lowest]}"
        )
        text = f"{recalls}; expected at least {least:g} of every class"
        return Observation(not lost, text, float(recall[lowest]), least)
