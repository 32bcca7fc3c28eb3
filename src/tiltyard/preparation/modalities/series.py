"""Series: one table in the order of time, of one group or many; rows are windows with the value that follows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.config.task import Task
from tiltyard.data import table_reader
from tiltyard.errors import DataError
from tiltyard.modeling.columns._datetime_format import times
from tiltyard.modeling.columns.series import Series as SeriesColumn
from tiltyard.preparation.modalities.base import Modality

if TYPE_CHECKING:
    import pandas as pd


class Series(Modality):
    """series.csv with a column of times and columns of values."""

    file: ClassVar = "series.csv"

    def __init__(self) -> None:
        self.groups = 1  # known once the rows were read

    @property
    def stems(self) -> tuple[str, ...]:
        """A series from elsewhere is a table like others."""
        return ("series", "table")

    def facts(self, task: Task, folder: Path) -> pd.DataFrame:
        """The series, and at each time the gap before it in usual steps: 1 if all is well, -1 if newest come first."""
        import pandas as pd

        column, path = _column(task), self.open(folder)
        frame = table_reader.read(path, task.source.dialect).frame
        table_reader.require_columns(path, _needed(task), frame.columns)
        for name in task.columns:
            frame[name] = pd.to_numeric(frame[name], errors="coerce")
        steps = _moments(frame, column).groupby(_group(frame, column), sort=False).diff()
        frame["gap"] = (steps / (abs(steps.median()) or 1.0)).fillna(1.0).round(6)
        return frame

    def rows(self, task: Task, folder: Path) -> tuple[Rows, Array]:
        """One row a window, in the order of time and then of groups; its truth is the next value."""
        column = _column(task)
        frame = table_reader.read(self.open(folder), task.source.dialect, _needed(task)).frame
        values = {name: _values(frame, name) for name in task.columns}
        groups = _group(frame, column).groupby(_group(frame, column)).indices.values()
        horizon = task.target.horizon
        needed = column.window + horizon  # values that make a row
        long = [np.asarray(places) for places in groups if len(places) >= needed]
        if not long:
            raise DataError(f"expected at least {needed} values, window and horizon; received {len(frame)}")
        self.groups = len(long)
        ends = np.concatenate([places[column.window : len(places) + 1 - horizon] for places in long])
        moments = _moments(frame, column).to_numpy()[ends]
        order = np.argsort(moments, kind="stable") if column.group else slice(None)
        rows = {name: _windows(cells, long, column.window, horizon)[order] for name, cells in values.items()}
        ahead = _ahead(values[task.target.column], long, column.window, horizon)
        if task.target.rise:
            ahead = (ahead.reshape(len(ends), -1)[:, -1] > values[task.target.column][ends - 1]).astype(np.int64)
        return rows, ahead[order]

    def reach(self, task: Task) -> int:
        """A window and the values that follow share values with as many neighbours as both are long."""
        return (_column(task).window + task.target.horizon - 1) * self.groups


def _windows(cells: Array, groups: list[Array], length: int, horizon: int) -> Array:
    """Return the values before each value but the first ones of each group, and but the last where more must follow."""
    cut = np.lib.stride_tricks.sliding_window_view
    return np.concatenate([cut(cells[places[:-horizon]], length) for places in groups])


def _ahead(cells: Array, groups: list[Array], length: int, horizon: int) -> Array:
    """Return the values that follow each window: one a row, or as many as the horizon has."""
    cut = np.lib.stride_tricks.sliding_window_view
    ahead = np.concatenate([cut(cells[places[length:]], horizon) for places in groups])
    return ahead[:, 0] if horizon == 1 else ahead


def _column(task: Task) -> SeriesColumn:
    """Return the target's column; a task file is refused if the others differ in how they go through time."""
    column = task.columns[task.target.column]
    assert isinstance(column, SeriesColumn)  # noqa: S101 - for the type checker: the columns of a series are series
    return column


def _needed(task: Task) -> list[str]:
    column = _column(task)
    return [*([column.group] if column.group else []), *([column.order] if column.order else []), *task.columns]


def _moments(frame: pd.DataFrame, column: SeriesColumn) -> pd.Series[float]:
    """Return the time of each row as a number; without a column of times, its place."""
    import pandas as pd

    if not column.order:
        return pd.Series(np.arange(len(frame), dtype=np.float64), index=frame.index)
    return times(frame[column.order], column.format)


def _group(frame: pd.DataFrame, column: SeriesColumn) -> pd.Series[str]:
    """Return the name of each row's series; of one alone it is the same everywhere."""
    import pandas as pd

    return frame[column.group].map(str) if column.group else pd.Series("", index=frame.index)


def _values(frame: pd.DataFrame, name: str) -> Array:
    import pandas as pd

    values: Array = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"{name}: expected finite values; row {int(np.argmin(np.isfinite(values)))} is not")
    return values
