"""Rows that are there more than once, with the same target or with another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Finding, Found, Severity, share

MANY = 0.01  # of the rows; fewer that repeat change no figure
CHANCE = 0.5  # of the rows: where more are repeated, columns are few and coarse, and rows are alike by nature


class Duplicates(Finding):
    """A row that is there twice counts twice; the same row with two targets teaches nothing."""

    code: ClassVar = "duplicates"
    title: ClassVar = "duplicate rows, and such with different targets"

    def look(self, subject: CheckedData) -> Iterator[Found]:
        """Compare the hashes of all rows of the file."""
        if subject.hashes is None or not len(subject.columns):
            return
        labelled = subject.hashes[1]
        _, first, counts = np.unique(labelled, return_index=True, return_counts=True)
        again = len(labelled) - len(counts)
        if again and len(counts) > (1 - CHANCE) * len(labelled):
            row = int(first[counts > 1].min())
            text = f"{share(again, len(labelled))} rows repeat an earlier one, such as row {row}; expected none"
            severity: Severity = "warning" if again > MANY * len(labelled) else "note"
            yield self.found(severity, "", text, "remove them, unless each stands for another observation")
        if subject.task.classes and subject.truth is not None:
            yield from self._conflicts(subject)

    def _conflicts(self, subject: CheckedData) -> Iterator[Found]:
        """Of rows with the same features, count those whose labels differ."""
        assert subject.hashes is not None  # noqa: S101 - for the type checker: looked at above
        features, labelled = subject.hashes
        _, group = np.unique(features, return_inverse=True)
        _, first = np.unique(labelled, return_index=True)
        torn = np.bincount(group[first], minlength=group.max() + 1) > 1  # groups with more than one label
        rows = np.flatnonzero(torn[group])
        if len(rows):
            same = np.flatnonzero(group == group[rows[0]])[:2]
            text = f"{share(len(rows), len(group))} rows have the features of another row and not its label"
            text += f", such as rows {', '.join(map(str, same))}; expected one label for the same features"
            hint = "mend the labels, or add the feature that tells these rows apart"
            yield self.found("warning", subject.task.target.column, text, hint)
