"""Duplicate rows, and rows with the same features and different labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Finding, Found, Severity, share

WARNING_SHARE = 0.01  # of the rows; fewer hardly change a metric
MAX_SHARE = 0.5  # of the rows: if more repeat, columns are few and coarse, and equal rows are normal


class Duplicates(Finding):
    """Duplicates get more weight, and conflicting labels cannot be learned."""

    code: ClassVar = "duplicates"
    title: ClassVar = "duplicate rows, and rows with the same features and different targets"

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Compare the hashes of all rows of the file."""
        if subject.hashes is None or not len(subject.columns):
            return
        labelled = subject.hashes[1]
        _, first, counts = np.unique(labelled, return_index=True, return_counts=True)
        repeats = len(labelled) - len(counts)
        if repeats and len(counts) > (1 - MAX_SHARE) * len(labelled):
            row = int(first[counts > 1].min())
            text = f"{share(repeats, len(labelled))} rows repeat an earlier one, such as row {row}; expected none"
            severity: Severity = "warning" if repeats > WARNING_SHARE * len(labelled) else "note"
            yield self.found(severity, "", text, "remove them, unless each stands for another observation")
        if subject.task.classes and subject.truth is not None:
            yield from self._conflicts(subject)

    def _conflicts(self, subject: CheckedData) -> Iterator[Found]:
        """Count the rows with the features of another row and another label."""
        assert subject.hashes is not None  # noqa: S101 - for the type checker: `detect` checks it
        features, labelled = subject.hashes
        _, group = np.unique(features, return_inverse=True)
        _, first = np.unique(labelled, return_index=True)
        conflicting = np.bincount(group[first], minlength=group.max() + 1) > 1  # groups with more than one label
        rows = np.flatnonzero(conflicting[group])
        if len(rows):
            pair = np.flatnonzero(group == group[rows[0]])[:2]
            text = f"{share(len(rows), len(group))} rows have the features of another row and a different label"
            text += f", such as rows {', '.join(map(str, pair))}; expected one label for the same features"
            hint = "correct the labels, or add a feature that distinguishes these rows"
            yield self.found("warning", subject.task.target.column, text, hint)
