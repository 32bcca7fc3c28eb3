"""Target leakage: features that predict the target on their own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.config.draft.leakage import MIN_BALANCED_ACCURACY, MIN_R2, leakage_score, leaked_label
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Finding, Found, removal_advice

MAX_ROWS = 10_000  # enough for a small tree


class Leak(Finding):
    """Such a feature is probably not known at prediction time, and makes metrics misleading."""

    code: ClassVar = "leak"
    title: ClassVar = "features that predict the target on their own"

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Measure each feature by rank correlation and a small tree."""
        if subject.label_sets is not None and subject.task.is_tabular:
            yield from self._of_label_sets(subject, subject.label_sets)
        if subject.task.is_tabular:
            for one in subject.by_target:
                yield from self._of_target(one)

    def _of_target(self, subject: CheckedData) -> Iterator[Found]:
        """Measure each feature against the target."""
        if subject.truth is None or subject.task.problem_type.targets == "row":  # which nothing predicts
            return
        labels = bool(subject.task.classes)
        labelled = np.flatnonzero(subject.truth != "" if labels else np.isfinite(subject.truth))
        places = labelled[:: max(1, len(labelled) // MAX_ROWS)].tolist()
        truth = subject.truth[places].tolist()
        for name, column in subject.columns.items() if len(set(truth)) > 1 else ():
            if (column.is_date and not labels) or column.column.branch != "table":
                continue  # a number may grow with time, and a text may say what the target is
            if score := _score([column.cells[place] for place in places], truth, labels=labels):
                target, limit = subject.task.target.column, MIN_BALANCED_ACCURACY if labels else MIN_R2
                text = f"predicts {target} alone with a score of {score:.1%}; expected below {limit:.1%}"
                hint = f"if it is not known before {target}, {removal_advice(subject, name)}"
                yield self.found("critical", name, text, hint)

    def _of_label_sets(self, subject: CheckedData, label_sets: list[list[str]]) -> Iterator[Found]:
        """Measure each feature against the presence of each label."""
        places = range(0, len(label_sets), max(1, len(label_sets) // MAX_ROWS))
        for name, column in subject.columns.items():
            if column.column.branch != "table":
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a label may be missing from one half of the rows
                score, label = leaked_label([column.cells[p] for p in places], [label_sets[p] for p in places])
            if score:
                text = f"predicts {label} alone with a score of {score:.1%}; expected below {MIN_BALANCED_ACCURACY:.1%}"
                hint = f"if it is not known before {subject.task.target.column}, {removal_advice(subject, name)}"
                yield self.found("critical", name, text, hint)


def _score(cells: list[object], truth: list[object], *, labels: bool) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class may be missing from one half of the rows
        return leakage_score(cells, truth, labels=labels)
