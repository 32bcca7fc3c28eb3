"""Joins: rows that have no match or would be multiplied, keys of other spelling, and old values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.data.joins.statistics import JoinStatistics
from tiltyard.data.joins.times import MICROSECONDS
from tiltyard.errors import join_first
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Finding, Found, Severity, share

FEW_LOST = 0.05  # share of the rows that may be left out without a warning
MAX_STEPS = 20  # median steps of a joined table: older values are reported if there is no maximum age
UNITS = {"days": 86_400, "hours": 3600, "minutes": 60, "seconds": 1}


class Joins(Finding):
    """A join that loses or multiplies rows changes what is learned, often unnoticed."""

    code: ClassVar = "joins"
    title: ClassVar = "rows that a join loses or multiplies"
    serving: ClassVar = True

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Check each join of the task by all rows of both tables."""
        for counted in subject.joins:
            yield from self._repeated(counted)
            yield from self._unmatched(counted, subject.task.check.missing)
            yield from self._ages(counted)

    def _repeated(self, counted: JoinStatistics) -> Iterator[Found]:
        matching, last = counted.matching, counted.rule.duplicates == "last"
        if matching.repeats:
            text = f"{share(matching.repeats, matching.joined_rows)} joined rows repeat a key or time"
            text = f"{text}: {join_first(matching.repeated)}; expected one row for each"
            hint = "keep one row of each: every further one would multiply rows"
            yield self.found("note" if last else "critical", counted.name, text, "the last is taken" if last else hint)
        if matching.without_key:
            text = f"{share(matching.without_key, matching.joined_rows)} joined rows have no key or time"
            yield self.found("note", counted.name, f"{text}, and match nothing", "complete or remove them")

    def _unmatched(self, counted: JoinStatistics, most: float) -> Iterator[Found]:
        if not counted.unmatched:
            return
        columns = " and ".join(counted.matching.main_columns)
        without = f", {counted.without_key:,} of them without a value" if counted.without_key else ""
        text = f"{share(counted.unmatched, counted.rows)} rows have no match by {columns}{without}"
        examples = f": {join_first(counted.examples)}" if counted.examples else ""
        similar = "; ".join(f"{here} is {there} in the joined table" for here, there in counted.similar())
        hint = f"see whether they should be the same: {similar}" if similar else _hint(counted)
        severity = "warning" if similar else _severity(counted, most)
        yield self.found(severity if counted.matched else "critical", counted.name, text + examples, hint)

    def _ages(self, counted: JoinStatistics) -> Iterator[Found]:
        times = counted.matching.joined_times
        if times is None or counted.oldest is None or counted.rule.max_age is not None:
            return
        steps = np.diff(counted.matching.latest.times).astype(np.float64)
        step = float(np.median(steps)) if len(steps) else np.inf
        if counted.oldest > MAX_STEPS * step:
            age = f"{counted.oldest:g}" if times.unit == "numbers" else _duration(counted.oldest / MICROSECONDS)
            text = f"rows take values that are up to {age} old, {counted.oldest / step:.0f} median steps"
            yield self.found("note", counted.name, text, f"set joins.{counted.name}.max_age if that is too old")


def _severity(counted: JoinStatistics, most: float) -> Severity:
    lost = counted.unmatched / counted.rows
    if counted.rule.unmatched == "refuse":
        return "critical"
    return "warning" if lost > (FEW_LOST if counted.rule.unmatched == "drop" else most) else "note"


def _hint(counted: JoinStatistics) -> str:
    name = counted.name
    return {
        "refuse": f"complete the joined table, or set joins.{name}.unmatched: missing or drop",
        "drop": "they are left out: see whether they differ from the others, and who will predict for such rows",
        "missing": "their joined columns are missing: see whether the joined table is complete",
    }[counted.rule.unmatched]


def _duration(seconds: float) -> str:
    unit = next((name for name, size in UNITS.items() if seconds >= 2 * size), "seconds")
    return f"{seconds / UNITS[unit]:.3g} {unit}"
