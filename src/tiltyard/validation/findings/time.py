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
PROFILE_CELLS = 200  # of a column that is not in the task, to recognise dates


class Time(Finding):
    """Series and chronological splits depend on the order of the rows."""

    code: ClassVar = "time"
    title: ClassVar = "order, repeats and gaps in time"
    serving: ClassVar = True

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Check the steps of a series, or the dates of a table that is split by time."""
        if subject.task.modality == "series":
            yield from self._series(subject)
        elif subject.task.split.kind == "chronological" and subject.task.is_tabular:
            date_columns = dates(subject)
            if (
                date_columns
                and not subject.task.split.by
                and not any(_rises(values) for values in date_columns.values())
            ):
                yield from self._order(subject, *next(iter(date_columns.items())))
            for name, values in date_columns.items():
                yield from self._gaps(subject, name, values)

    def _series(self, subject: CheckedData) -> Iterator[Found]:
        columns = subject.task.columns
        column = columns.get(subject.task.target.column) or next(iter(columns.values()))
        order, equal = getattr(column, "order", None) or "", getattr(column, "steps", "equal") == "equal"
        gap: Array = subject.frame["gap"].to_numpy()
        kinds: dict[str, tuple[Any, str]] = {
            "go back in time": (gap < 0, "sort the rows by time"),
            "repeat the time before": (gap == 0, "keep one row for each time"),
            "come more than one step after the row before": (gap > 1, "fill the gaps, or split the series at them"),
            "come less than one step after the row before": ((gap > 0) & (gap < 1), "resample the rows to equal steps"),
        }
        for place, (problem, (mask, hint)) in enumerate(kinds.items()):
            if mask.any() and (equal or place < 2):  # if steps need not be equal, they may have any positive length
                text = f"{share(int(mask.sum()), len(gap))} rows {problem}: {join_first(np.flatnonzero(mask).tolist())}"
                yield self.found("critical", order, f"{text}; expected {'equal' if equal else 'rising'} steps", hint)

    def _order(self, subject: CheckedData, name: str, values: Array) -> Iterator[Found]:
        decreases = np.flatnonzero(np.diff(values[~np.isnat(values)]).astype(np.int64) < 0) + 1
        if len(decreases):
            text = f"{share(len(decreases), len(values))} rows are earlier than the row before; expected rising dates"
            hint = f"write split.by: {name}, or sort the rows by time: the last ones are the test rows"
            yield self.found("critical", name, text, hint)

    def _gaps(self, subject: CheckedData, name: str, values: Array) -> Iterator[Found]:
        steps = np.diff(np.sort(values[~np.isnat(values)])).astype(np.float64)
        median_step = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
        if median_step and steps.max() > MAX_GAP * median_step:
            gap_start = np.sort(values[~np.isnat(values)])[int(steps.argmax())]
            length = steps.max() / median_step
            text = f"after {np.datetime_as_string(gap_start, unit='s')} no rows for {length:.0f} median steps"
            yield self.found("note", name, f"{text}; expected at most {MAX_GAP}", "see whether rows are missing there")


def dates(subject: CheckedData) -> dict[str, Array]:
    """Return the dates of all columns of dates, including those that are not in the task."""
    date_columns = {name: column.parsed for name, column in subject.columns.items() if isinstance(column.column, Date)}
    for name in subject.frame.columns:
        cells = subject.frame[name]
        if name in subject.task.columns or name == subject.task.target.column or cells.dtype.kind in "biuf":
            continue
        profile = profile_column(str(name), cells.head(PROFILE_CELLS).tolist())
        if profile.kind == "date":
            column = Date(format=profile.column["format"], missing="median")
            date_columns[str(name)] = observe(column, cells.tolist(), str(name)).parsed
    return date_columns


def _rises(values: Array) -> bool:
    present = values[~np.isnat(values)]
    return bool((np.diff(present).astype(np.int64) >= 0).all())
