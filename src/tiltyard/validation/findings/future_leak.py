"""The future that leaks into the past."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.columns.date import Date
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import MIN_ROWS, Finding, Found, share, without
from tiltyard.validation.findings.time import dates

AFTER = 0.99  # of the rows


class FutureLeak(Finding):
    """A model that learns from tomorrow's rows is good at yesterday's, and is asked about the day after."""

    code: ClassVar = "future_leak"
    title: ClassVar = "a split or a column that knows the future"

    def look(self, subject: CheckedData) -> Iterator[Found]:
        """Compare the kind of the split with the dates, and dates against each other."""
        if subject.task.form != "table" or subject.rows < MIN_ROWS:
            return
        found = dates(subject)
        if subject.task.split.kind != "chronological":
            yield from self._split(subject, found)
        features = {name: found[name] for name, column in subject.task.columns.items() if isinstance(column, Date)}
        for (name, later), (other, moment) in permutations([pair for pair in features.items() if pair[0] in found], 2):
            yield from self._later(subject, (name, later), (other, moment))

    def _split(self, subject: CheckedData, found: dict[str, Array]) -> Iterator[Found]:
        """Report the column whose order the rows follow most closely; others are most often made from it."""
        known = {name: values[~np.isnat(values)] for name, values in found.items()}
        ordered = {name: _ordered(values) for name, values in known.items() if len(values) >= MIN_ROWS}
        name = max(ordered, key=lambda one: ordered[one], default="")
        if not name or known[name].min() == known[name].max():
            return
        first, last = (np.datetime_as_string(one, unit="D") for one in (known[name].min(), known[name].max()))
        kind = subject.task.split.kind
        text = f"rows from {first} to {last} are split {kind}: training knows rows later than those that test it"
        yield self.found(
            "warning",
            name,
            f"{text}; expected a chronological split if {name} says when a row came to be",
            f"if so, write split: {{kind: chronological, by: {name}}}, with format: if it is not spelled as ISO does"
            + (", and take train.folds out: folds know no time" if subject.task.train.folds else ""),
        )

    def _later(self, subject: CheckedData, one: tuple[str, Array], before: tuple[str, Array]) -> Iterator[Found]:
        (name, later), (other, moment) = one, before
        both = ~np.isnat(later) & ~np.isnat(moment)
        after, gone = int((later[both] > moment[both]).sum()), int(np.isnat(later).sum())
        if both.sum() >= MIN_ROWS and after >= AFTER * both.sum():
            open_end = gone > np.isnat(moment).sum()
            text = f"later than {other} in {share(after, int(both.sum()))} rows"
            text += f", missing in {gone:,}: it seems to be noted when something has happened" if open_end else ""
            hint = f"if it is not known yet when the model is asked, {without(subject, name)}"
            yield self.found("warning" if open_end else "note", name, f"{text}; expected dates known by then", hint)


def _ordered(known: Array) -> float:
    """Return the share of rows that are not earlier than the row before."""
    return float((np.diff(known).astype(np.int64) >= 0).mean())
