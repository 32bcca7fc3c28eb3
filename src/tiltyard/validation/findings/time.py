"""Order of time: rows out of order, repeated times, and gaps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.draft.column_profile import profile_column
from tiltyard.modeling.columns.date import Date
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings._observed_column import observe
from tiltyard.validation.findings.base import Finding, Found, join_first, share

MAX_GAP = 20  # in median steps
HEAD = 200  # cells by which a column that is not in the task is recognised as dates


class Time(Finding):
    """Series and chronological splits depend on the order of the rows."""

    code: ClassVar = "time"
    title: ClassVar = "order, repeats and gaps in time"
    serving: ClassVar = True

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Check the steps of a series, or the dates of a table that is split by time."""
        if subject.task.modality == "series":
            yield from self._series(subject)
        elif subject.task.split.kind == "chronological" and subject.task.modality == "table":
            found = dates(subject)
            if found and not subject.task.split.by and not any(_rises(values) for values in found.values()):
                yield from self._order(subject, *next(iter(found.items())))
            for name, values in found.items():
                yield from self._gaps(subject, name, values)

    def _series(self, subject: CheckedData) -> Iterator[Found]:
        column = subject.task.columns[subject.task.target.column]
        order, equal = getattr(column, "order", None) or "", getattr(column, "steps", "equal") == "equal"
        gap: Array = subject.frame["gap"].to_numpy()
        kinds: dict[str, tuple[Any, str]] = {
            "go back in time": (gap < 0, "sort the rows by time"),
            "repeat the time before": (gap == 0, "keep one row for each time"),
            "come more than one step after the row before": (gap > 1, "fill the gaps, or split the series at them"),
            "come less than one step after the row before": ((gap > 0) & (gap < 1), "resample the rows to equal steps"),
        }
        for place, (what, (where, hint)) in enumerate(kinds.items()):
            if where.any() and (equal or place < 2):  # steps that need only rise may have any length
                text = f"{share(int(where.sum()), len(gap))} rows {what}: {join_first(np.flatnonzero(where).tolist())}"
                yield self.found("critical", order, f"{text}; expected {'equal' if equal else 'rising'} steps", hint)

    def _order(self, subject: CheckedData, name: str, values: Array) -> Iterator[Found]:
        back = np.flatnonzero(np.diff(values[~np.isnat(values)]).astype(np.int64) < 0) + 1
        if len(back):
            text = f"{share(len(back), len(values))} rows are earlier than the row before; expected rising dates"
            hint = f"write split.by: {name}, or sort the rows by time: the last ones are the test rows"
            yield self.found("critical", name, text, hint)

    def _gaps(self, subject: CheckedData, name: str, values: Array) -> Iterator[Found]:
        steps = np.diff(np.sort(values[~np.isnat(values)])).astype(np.float64)
        usual = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
        if usual and steps.max() > MAX_GAP * usual:
            at = np.sort(values[~np.isnat(values)])[int(steps.argmax())]
            text = f"after {np.datetime_as_string(at, unit='s')} no rows for {steps.max() / usual:.0f} median steps"
            yield self.found("note", name, f"{text}; expected at most {MAX_GAP}", "see whether rows are missing there")


def dates(subject: CheckedData) -> dict[str, Array]:
    """Return the dates of all columns of dates, including those that are not in the task."""
    found = {name: column.parsed for name, column in subject.columns.items() if isinstance(column.column, Date)}
    for name in subject.frame.columns:
        cells = subject.frame[name]
        if name in subject.task.columns or name == subject.task.target.column or cells.dtype.kind in "biuf":
            continue
        look = profile_column(str(name), cells.head(HEAD).tolist())
        if look.kind == "date":
            column = Date(format=look.column["format"], missing="median")
            found[str(name)] = observe(column, cells.tolist(), str(name)).parsed
    return found


def _rises(values: Array) -> bool:
    known = values[~np.isnat(values)]
    return bool((np.diff(known).astype(np.int64) >= 0).all())
