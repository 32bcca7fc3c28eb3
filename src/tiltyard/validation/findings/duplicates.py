"""Duplicate rows: they count more than once in training, and metrics are too good if they are in several parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Finding, Found, Severity, share

WARNING_SHARE = 0.01  # of the rows; fewer hardly change a metric
MAX_SHARE = 0.5  # of the rows: if more repeat, columns are few and coarse, and equal rows are normal


class Duplicates(Finding):
    """Rows that repeat an earlier one, target included."""

    code: ClassVar = "duplicates"
    title: ClassVar = "duplicate rows"

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
