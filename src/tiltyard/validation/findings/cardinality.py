"""Categories with so many names that few rows are left for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.modeling.columns.category import MOST, USUAL, Category
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Finding, Found, share, without

ROWS = 10  # for each name, on average
OTHERS = 0.2  # of the rows that may fall among the names that are not learned


class Cardinality(Finding):
    """Each name is a feature; one that a handful of rows share is learned by heart."""

    code: ClassVar = "cardinality"
    title: ClassVar = "categories with too many names"

    def look(self, subject: CheckedData) -> Iterator[Found]:
        """Count names, and the rows beyond those that are learned."""
        for name, column in subject.columns.items():
            known = column.known
            if not isinstance(column.column, Category) or not len(known):
                continue
            counts = np.sort(np.unique(known, return_counts=True)[1])[::-1]
            learned = column.column.top or USUAL
            others = int(counts[learned:].sum()) if column.column.values is None else 0
            if len(counts) > USUAL and len(counts) * ROWS > len(known):
                text = f"{len(counts):,} names in {len(known):,} rows; expected at least {ROWS} rows for each"
                yield self.found("warning", name, text, f"{without(subject, name)}, or group its names in the source")
            elif others > OTHERS * len(known):
                text = f"{share(others, len(known))} rows hold none of the {learned} names that are learned"
                more = f"raise columns.{name}.top, or " if learned < MOST else ""
                hint = f"{more}group its names in the source"
                yield self.found("note", name, f"{text}; expected at most {OTHERS:.0%}", hint)
