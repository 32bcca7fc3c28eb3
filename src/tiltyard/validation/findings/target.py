"""Problems of the target: missing, constant, not among the classes, or out of bounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Finding, Found, join_first, share


class Target(Finding):
    """A target with such values cannot be learned."""

    code: ClassVar = "target"
    title: ClassVar = "a target that is missing, constant or unknown"

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Check missing values, number of values, labels and bounds."""
        if subject.label_sets is not None:
            yield from self._of_label_sets(subject, subject.label_sets)
        for one in subject.by_target:
            yield from self._of_target(one)

    def _of_target(self, subject: CheckedData) -> Iterator[Found]:
        """Check one target."""
        name, truth = subject.task.target.column, subject.truth
        if truth is None:
            return
        present = truth != "" if _labels(subject) else ~np.isnan(truth)
        if missing := len(truth) - int(present.sum()):
            yield self._missing(subject, missing)
        values = np.unique(truth[present])
        if len(values) == 1:
            text = f"always {values[0]}; expected at least two values"
            yield self.found("critical", name, text, "fetch data with more than one target value")
        yield from self._invalid(subject, truth[present])

    def _of_label_sets(self, subject: CheckedData, label_sets: list[list[str]]) -> Iterator[Found]:
        """Check the labels of rows that may have several."""
        name, known = subject.task.target.column, {*subject.task.labels}
        if not any(label_sets):
            hint = "fetch data with labels, or correct target.separator"
            yield self.found("critical", name, "no row has a label; expected some", hint)
        if unknown := sorted({label for labels in label_sets for label in labels} - known):
            rows = sum(not known.issuperset(labels) for labels in label_sets)
            text = f"{share(rows, len(label_sets))} rows have {join_first(unknown)}"
            hint = "correct the labels or target.separator, or add them to target.classes"
            yield self.found("critical", name, f"{text}; expected some of {join_first(subject.task.labels)}", hint)

    def _missing(self, subject: CheckedData, missing: int) -> Found:
        name, rows, limit = subject.task.target.column, len(subject.frame), subject.task.target.drop_missing
        drops_rows = subject.task.is_tabular or subject.task.modality == "text"
        if drops_rows and missing <= limit * rows:
            return self.found(
                "note", name, f"{share(missing, rows)} rows have no target; they are left out", "find them"
            )
        text = f"{share(missing, rows)} rows have no readable target; expected at most {limit:.0%}"
        return self.found("critical", name, text, "find their targets, or raise target.drop_missing to leave them out")

    def _invalid(self, subject: CheckedData, truth: Array) -> Iterator[Found]:
        name, classes, bounds = subject.task.target.column, _labels(subject), subject.task.target.bounds
        if classes and (unknown := sorted(set(truth.tolist()) - set(classes))):
            rows = int(np.isin(truth, unknown).sum())
            text = f"{share(rows, len(truth))} rows have {join_first(unknown)}; expected one of {join_first(classes)}"
            yield self.found("critical", name, text, "correct the labels, or add them to target.classes")
        if bounds and not classes and (outside := int(((truth < bounds[0]) | (truth > bounds[1])).sum())):
            text = f"{share(outside, len(truth))} rows are outside; expected {bounds[0]:g} to {bounds[1]:g}"
            yield self.found("critical", name, text, "correct the values, or widen target.bounds if they are plausible")


def _labels(subject: CheckedData) -> list[str]:
    """Return the labels of the target, also of one that nothing predicts."""
    return subject.task.classes or subject.task.target.labels
