"""Series: one table ordered by time, of one group or several; rows are windows, the truth is what follows."""

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
from tiltyard.preparation.modalities import _gaps as gaps
from tiltyard.preparation.modalities.base import Modality

if TYPE_CHECKING:
    import pandas as pd


class Series(Modality):
    """series.csv with value columns, and optionally a time and a group column."""

    file: ClassVar = "series.csv"

    def __init__(self) -> None:
        self.groups = 1  # set by rows(), like times

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of the raw file; a fetched series is called table."""
        return ("series", "table")

    def facts(self, task: Task, folder: Path) -> pd.DataFrame:
        """Return the series, and each row's time step in units of the median: 1 is regular, -1 means newest first."""
        column, path = _column(task), self.raw_file(folder)
        texts = [name for name in task.columns if getattr(task.columns[name], "written", None)]
        frame = table_reader.read(path, task.source.dialect, texts=texts).frame
        table_reader.require_columns(path, _required_columns(task), frame.columns)
        frame = _filled(task, _numeric(task, frame))
        steps = _times(frame, column).groupby(_group_names(frame, column), sort=False).diff()
        frame["gap"] = (steps / (abs(steps.median()) or 1.0)).fillna(1.0).round(6)
        return frame

    def rows(self, task: Task, folder: Path) -> tuple[Rows, Array]:
        """Return one row for each window, ordered by time and then group; the truth is what follows it."""
        column = _column(task)
        texts = [name for name in task.columns if getattr(task.columns[name], "written", None)]
        frame = table_reader.read(self.raw_file(folder), task.source.dialect, _required_columns(task), texts).frame
        frame = _filled(task, _numeric(task, frame))
        values = {name: _values(frame, name) for name in task.columns}
        groups = _group_names(frame, column).groupby(_group_names(frame, column)).indices.values()
        horizon = task.target.horizon
        min_values = column.window + horizon  # for one row
        long_enough = [np.asarray(places) for places in groups if len(places) >= min_values]
        if not long_enough:
            raise DataError(f"expected at least {min_values} values, window and horizon; received {len(frame)}")
        self.groups = len(long_enough)
        ends = np.concatenate([places[column.window : len(places) + 1 - horizon] for places in long_enough])
        times_of_rows = _times(frame, column).to_numpy()[ends]
        order = np.argsort(times_of_rows, kind="stable") if column.group else slice(None)
        self.times = times_of_rows[order] if column.group else None
        rows = {name: _windows(cells, long_enough, column.window, horizon)[order] for name, cells in values.items()}
        targets = _targets(values[task.target.column], long_enough, column.window, horizon)
        if task.target.rise:
            targets = (targets.reshape(len(ends), -1)[:, -1] > values[task.target.column][ends - 1]).astype(np.int64)
        return rows, targets[order]

    def overlap(self, task: Task) -> int:
        """Return the length of window and horizon, minus 1, times the number of groups."""
        return (_column(task).window + task.target.horizon - 1) * self.groups


def _numeric(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with its series as numbers, NaN where a cell is none."""
    import pandas as pd

    for name, column in task.columns.items():
        written = isinstance(column, SeriesColumn) and column.written
        cells = column.number.facts_of_cells(frame[name]) if written else frame[name]  # type: ignore[attr-defined]
        frame[name] = pd.to_numeric(cells, errors="coerce")
    return frame


def _filled(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with missing steps and values filled, if the task says so; its repairs tell how many."""
    column = _column(task)
    if column.gaps == "refuse":
        return frame
    groups = _group_names(frame, column)
    parts = [
        gaps.fill(part, _times(part, column), column, [*task.columns]) for _, part in frame.groupby(groups, sort=False)
    ]
    return gaps.joined(frame, parts, column)


def _windows(cells: Array, groups: list[Array], length: int, horizon: int) -> Array:
    """Return all windows of each group that have a full horizon after them."""
    sliding_windows = np.lib.stride_tricks.sliding_window_view
    return np.concatenate([sliding_windows(cells[places[:-horizon]], length) for places in groups])


def _targets(cells: Array, groups: list[Array], length: int, horizon: int) -> Array:
    """Return the values that follow each window: one for each row, or as many as the horizon."""
    sliding_windows = np.lib.stride_tricks.sliding_window_view
    targets = np.concatenate([sliding_windows(cells[places[length:]], horizon) for places in groups])
    return targets[:, 0] if horizon == 1 else targets


def _column(task: Task) -> SeriesColumn:
    """Return the target's column; the loader has refused tasks whose columns differ in window or order."""
    column = task.columns[task.target.column]
    assert isinstance(column, SeriesColumn)  # noqa: S101 - for the type checker: the columns of a series are series
    return column


def _required_columns(task: Task) -> list[str]:
    column = _column(task)
    return [*([column.group] if column.group else []), *([column.order] if column.order else []), *task.columns]


def _times(frame: pd.DataFrame, column: SeriesColumn) -> pd.Series[float]:
    """Return the time of each row as a number; without a time column, its position."""
    import pandas as pd

    if "_time" in frame:  # of rows whose gaps were filled
        times_filled: pd.Series[float] = frame["_time"]
        return times_filled
    if not column.order:
        return pd.Series(np.arange(len(frame), dtype=np.float64), index=frame.index)
    return times(frame[column.order], column.format)


def _group_names(frame: pd.DataFrame, column: SeriesColumn) -> pd.Series[str]:
    """Return the group of each row; the same one everywhere without a group column."""
    import pandas as pd

    return frame[column.group].map(str) if column.group else pd.Series("", index=frame.index)


def _values(frame: pd.DataFrame, name: str) -> Array:
    import pandas as pd

    values: Array = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"{name}: expected finite values; row {int(np.argmin(np.isfinite(values)))} is not")
    return values
