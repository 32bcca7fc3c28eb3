"""Temporal leakage: a split or a column with information from the future."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.columns.date import Date
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import MIN_ROWS, Finding, Found, removal_advice, share
from tiltyard.validation.findings.time import dates

MIN_LATER = 0.99  # share of rows in which a date is later than another


class FutureLeak(Finding):
    """Metrics are too good if the model is trained on later rows than those that test it."""

    code: ClassVar = "future_leak"
    title: ClassVar = "a split or a column with information from the future"

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Compare the split with the dates, and dates with each other."""
        if not subject.task.is_tabular or subject.rows < MIN_ROWS:
            return
        date_columns = dates(subject)
        if subject.task.split.kind != "chronological":
            yield from self._split(subject, date_columns)
        features = {
            name: date_columns[name] for name, column in subject.task.columns.items() if isinstance(column, Date)
        }
        for (name, later), (other, moment) in permutations(
            [pair for pair in features.items() if pair[0] in date_columns], 2
        ):
            yield from self._later(subject, (name, later), (other, moment))

    def _split(self, subject: CheckedData, date_columns: dict[str, Array]) -> Iterator[Found]:
        """Report the column of dates whose order the rows follow most closely."""
        present = {name: values[~np.isnat(values)] for name, values in date_columns.items()}
        ordered = {name: _ordered(values) for name, values in present.items() if len(values) >= MIN_ROWS}
        name = max(ordered, key=lambda column: ordered[column], default="")
        if not name or present[name].min() == present[name].max():
            return
        first, last = (np.datetime_as_string(date, unit="D") for date in (present[name].min(), present[name].max()))
        kind = subject.task.split.kind
        text = f"rows from {first} to {last} are split {kind}: some training rows are later than test rows"
        yield self.found(
            "warning",
            name,
            f"{text}; expected a chronological split if {name} is the time of a row",
            f"if so, write split: {{kind: chronological, by: {name}}}, with format: if it is not ISO 8601"
            + (", and remove train.folds, which ignores time" if subject.task.train.folds else ""),
        )

    def _later(
        self, subject: CheckedData, column: tuple[str, Array], other_column: tuple[str, Array]
    ) -> Iterator[Found]:
        (name, later), (other, moment) = column, other_column
        comparable = ~np.isnat(later) & ~np.isnat(moment)
        later_rows, missing = int((later[comparable] > moment[comparable]).sum()), int(np.isnat(later).sum())
        if comparable.sum() >= MIN_ROWS and later_rows >= MIN_LATER * comparable.sum():
            open_end = missing > np.isnat(moment).sum()
            text = f"later than {other} in {share(later_rows, int(comparable.sum()))} rows"
            text += f", missing in {missing:,}: it seems to be recorded after an event" if open_end else ""
            hint = f"if it is not known yet at prediction time, {removal_advice(subject, name)}"
            yield self.found(
                "warning" if open_end else "note",
                name,
                f"{text}; expected dates that are known at prediction time",
                hint,
            )


def _ordered(values: Array) -> float:
    """Return the share of rows that are not earlier than the row before."""
    return float((np.diff(values).astype(np.int64) >= 0).mean())
