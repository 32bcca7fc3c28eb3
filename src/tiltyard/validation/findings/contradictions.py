"""Contradictory labels: rows with the same features and different labels, of which no model can learn both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Finding, Found, share


class Contradictions(Finding):
    """Rows with the features of another row and another label."""

    code: ClassVar = "contradictions"
    title: ClassVar = "rows with the same features and different labels"

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Count the rows with the features of another row and another label."""
        if subject.hashes is None or not len(subject.columns) or not subject.task.classes or subject.truth is None:
            return
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
