"""High cardinality: categories with few rows for each name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.config.draft import many_names
from tiltyard.modeling.columns.category import MOST, USUAL, Category
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings._observed_column import ObservedColumn
from tiltyard.validation.findings.base import Finding, Found, removal_advice, share

MIN_ROWS_PER_NAME = 10  # on average
MAX_UNLEARNED = 0.2  # share of rows with names that are not learned


class Cardinality(Finding):
    """Each name is a feature, and a model overfits names with few rows."""

    code: ClassVar = "cardinality"
    title: ClassVar = "categories with too many names"

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Count names, and the rows whose names are not learned."""
        for name, column in subject.columns.items():
            present = column.present
            if not isinstance(column.column, Category) or not len(present):
                continue
            counts = np.sort(np.unique(present, return_counts=True)[1])[::-1]
            learned = column.column.top or USUAL
            unlearned = int(counts[learned:].sum()) if column.column.values is None else 0
            if len(counts) > USUAL and len(counts) * MIN_ROWS_PER_NAME > len(present):
                if _informative(subject, column):
                    continue
                expected = f"expected at least {MIN_ROWS_PER_NAME} rows for each, or targets that differ by name"
                text = f"{len(counts):,} names in {len(present):,} rows; {expected}"
                yield self.found(
                    "warning", name, text, f"{removal_advice(subject, name)}, or group its names in the source"
                )
            elif unlearned > MAX_UNLEARNED * len(present):
                text = f"{share(unlearned, len(present))} rows hold none of the {learned} names that are learned"
                advice = f"raise columns.{name}.top, or " if learned < MOST else ""
                hint = f"{advice}group its names in the source"
                yield self.found("note", name, f"{text}; expected at most {MAX_UNLEARNED:.0%}", hint)


def _informative(subject: CheckedData, column: ObservedColumn) -> bool:
    """Return whether the names say something about the target, as `tiltyard init` decides."""
    if subject.truth is None or subject.task.problem_type.targets == "row":
        return False
    labels = bool(subject.task.classes)
    known = np.flatnonzero(subject.truth != "" if labels else np.isfinite(subject.truth)).tolist()
    cells, truth = [column.cells[place] for place in known], subject.truth[known].tolist()
    return many_names.informative(cells, truth, labels=labels)
