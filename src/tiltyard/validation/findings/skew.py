"""Skew and drift: columns whose distribution differs from that of the training rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from tiltyard.modeling.metrics.drift_distance import Distance, drift_distances
from tiltyard.validation.findings._dataset import CheckedData, Comparison
from tiltyard.validation.findings.base import MIN_ROWS, Finding, Found


class Skew(Finding):
    """A model is unreliable on rows that differ from its training rows."""

    code: ClassVar = "skew"
    title: ClassVar = "skew between training rows and test rows, new data, or earlier data"
    serving: ClassVar = True

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Measure the distance of each column; report significant ones above a limit, with all measures."""
        compared = [
            comparison
            for comparison in subject.previous.comparisons
            if min(len(comparison.old), len(comparison.new)) >= MIN_ROWS
        ]
        check = subject.task.check
        limits = {"PSI": check.psi, "KS": check.ks, "chi-square": check.chi2}
        for comparison in compared:
            measured = drift_distances(comparison.old, comparison.new)
            significant = [d for d in measured if d.chance * len(compared) < 1 - check.confidence]
            if any(d.value > limits[d.measure] for d in significant):
                yield self._report(subject, comparison, measured, limits)

    def _report(
        self, subject: CheckedData, comparison: Comparison, measured: list[Distance], limits: dict[str, float]
    ) -> Found:
        old, new = comparison.names
        values = ", ".join(f"{d.measure} {d.value:.3g}" for d in measured)
        expected = ", ".join(f"{d.measure} {limits[d.measure]:g}" for d in measured)
        column = subject.task.columns.get(comparison.column)
        is_date = column is not None and column.type == "date"  # newer rows have later dates
        in_time = new == "the test rows" and subject.task.split.kind == "chronological"  # values may have a trend
        text = f"{new} differ from {old}: {values}; expected at most {expected}"
        hint = (
            "find out what changed; train again if it is permanent"
            if new != "the test rows"
            else "see whether it has a trend: test rows are the latest"
            if in_time
            else "see whether the split separates rows that belong together"
        )
        return self.found("note" if is_date or in_time else "warning", comparison.column, text, hint)
