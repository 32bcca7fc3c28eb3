"""Series: one table in the order of time; rows are windows with the value that follows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tiltyard import reading
from tiltyard.column import Array, Rows
from tiltyard.columns.series import Series as SeriesColumn
from tiltyard.errors import DataError
from tiltyard.form import Form
from tiltyard.task import Task

if TYPE_CHECKING:
    import pandas as pd


class Series(Form):
    """series.csv with a column of times and a column of values."""

    file: ClassVar = "series.csv"

    @property
    def stems(self) -> tuple[str, ...]:
        """A series from elsewhere is a table like others."""
        return ("series", "table")

    def facts(self, task: Task, folder: Path) -> pd.DataFrame:
        """The series, and at each time the gap before it in usual steps: 1 everywhere if all is well."""
        import pandas as pd

        name, column = _column(task)
        path = self.open(folder)
        frame = reading.read(path, task.source.dialect).frame
        reading.require(path, [column.order, name], frame.columns)
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
        times = pd.to_numeric(frame[column.order], errors="coerce")
        if times.isna().all():
            times = pd.to_datetime(frame[column.order], errors="coerce").astype("int64").astype("float64")
        steps = times.diff()
        frame["gap"] = (steps / (steps.median() or 1.0)).fillna(1.0).round(6)
        return frame

    def rows(self, task: Task, folder: Path) -> tuple[Rows, Array]:
        """One row a window; its truth is the next value."""
        import pandas as pd

        name, column = _column(task)
        frame = reading.read(self.open(folder), task.source.dialect, [column.order, name]).frame
        values = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64)
        if len(values) <= column.window:
            raise DataError(f"expected more than {column.window} values, the window; received {len(values)}")
        if not np.isfinite(values).all():
            raise DataError(f"{name}: expected finite values; row {int(np.argmin(np.isfinite(values)))} is not")
        windows = np.lib.stride_tricks.sliding_window_view(values[:-1], column.window)
        return {name: windows.copy()}, values[column.window :]

    def reach(self, task: Task) -> int:
        """A window and the value that follows share values with as many neighbours as the window is long."""
        return _column(task)[1].window


def _column(task: Task) -> tuple[str, SeriesColumn]:
    ((name, column),) = task.columns.items()
    assert isinstance(column, SeriesColumn)  # noqa: S101 - for the type checker: a task's form is its column's
    return name, column
