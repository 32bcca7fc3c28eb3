"""Series: one table ordered by time, of one group or several; rows are windows, the truth is what follows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tiltyard.arrays import Array, ParsedRows, Rows, decoded
from tiltyard.config.task import Task
from tiltyard.data import table_reader
from tiltyard.errors import DataError
from tiltyard.modeling.columns._datetime_format import times
from tiltyard.modeling.columns.series import Series as SeriesColumn
from tiltyard.preparation.modalities import _gaps as gaps
from tiltyard.preparation.modalities._normal_labels import label_windows
from tiltyard.preparation.modalities.base import Modality, no_truth, parse_target

if TYPE_CHECKING:
    import pandas as pd

CHUNK_VALUES = 1 << 21  # of a column at a time


class Series(Modality):
    """series.csv with value columns, and optionally a time and a group column."""

    file: ClassVar = "series.csv"

    def __init__(self) -> None:
        self.groups = 1  # set by rows() and chunks(), like times

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of the raw file; a fetched series is called table."""
        return ("series", "table")

    def facts(self, task: Task, folder: Path) -> pd.DataFrame:
        """Return the series, and each row's time step in units of the median: 1 is regular, -1 means newest first."""
        column = _column(task)
        frame = self.read_raw(task, folder, texts=_texts(task))
        table_reader.require_columns(self.raw_file(folder), _required_columns(task), frame.columns)
        frame = _arranged(task, frame)
        steps = _times(frame, column).groupby(_group_numbers(frame, column), sort=False).diff()
        frame["gap"] = (steps / (abs(steps.median()) or 1.0)).fillna(1.0).round(6)
        return frame

    def rows(self, task: Task, folder: Path) -> tuple[Rows, Array]:
        """Return one row for each window, ordered by time and then group; the truth is what follows it."""
        rows, truth = zip(*self.chunks(task, folder), strict=True)
        windows = {name: np.concatenate([decoded(chunk[name]) for chunk in rows]) for name in task.columns}
        return windows, np.concatenate(truth)

    def chunks(self, task: Task, folder: Path) -> Iterator[tuple[ParsedRows, Array]]:
        """Yield the same rows in chunks: windows overlap, so all of them take many times the memory of the series."""
        column, target, horizon = _column(task), task.target, _horizon(task)
        frame = _arranged(task, self.read_raw(task, folder, _required_columns(task), _texts(task)))
        min_values = column.window + horizon  # for one row
        long_enough = [places for places in _places_by_group(frame, column) if len(places) >= min_values]
        if not long_enough:
            raise DataError(f"expected at least {min_values} values, window and horizon; received {len(frame)}")
        self.groups = len(long_enough)
        by_group = np.concatenate(long_enough)  # so that the steps of a group follow one another
        values = {name: _values(frame, name)[by_group] for name in task.columns}
        labels = parse_target(task, frame[target.column].tolist())[by_group] if _is_labelled(task) else None
        ends = _ends([len(places) for places in long_enough], column.window, horizon)
        ends = _measured(task, frame, by_group, ends)
        if column.group:
            times_of_rows = _times(frame, column).to_numpy()[by_group[ends if horizon else ends - 1]]
            order = np.argsort(times_of_rows, kind="stable")
            ends, self.times = ends[order], times_of_rows[order]
            if horizon and not target.rise:
                self.steps = np.abs(values[target.column][ends] - values[target.column][ends - 1])
        del frame
        for start in range(0, len(ends), size := max(1, CHUNK_VALUES // column.window)):
            places = ends[start : start + size, None]
            rows = {name: cells[places + np.arange(-column.window, 0)] for name, cells in values.items()}
            if horizon:
                yield {**rows}, _truth(values[target.column], places, horizon, rise=target.rise)
            else:
                windows = None if labels is None else labels[places + np.arange(-column.window, 0)]
                yield {**rows}, no_truth(len(places)) if windows is None else label_windows(windows, target.span)

    def overlap(self, task: Task) -> int:
        """Return the length of window and horizon, minus 1, times the number of groups."""
        return (_column(task).window + _horizon(task) - 1) * self.groups


def _is_labelled(task: Task) -> bool:
    """Whether steps are labelled as normal or as anomalies."""
    return task.problem_type.targets == "anomaly" and bool(task.target.column)


def _horizon(task: Task) -> int:
    """Return how many steps after a window are predicted; 0 if windows themselves are judged."""
    return 0 if task.problem_type.targets == "anomaly" else task.target.horizon


def _texts(task: Task) -> list[str]:
    """Return the columns whose cells are read as texts, since they are no plain numbers."""
    written = [name for name in task.columns if getattr(task.columns[name], "written", None)]
    return [*written, *([task.target.column] if _is_labelled(task) else [])]


def _numeric(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with its series as numbers, NaN where a cell is none."""
    import pandas as pd

    for name, column in task.columns.items():
        read = isinstance(column, SeriesColumn) and (column.written or column.na)
        cells = column.number.facts_of_cells(frame[name]) if read else frame[name]  # type: ignore[attr-defined]
        frame[name] = pd.to_numeric(cells, errors="coerce")
    return frame


def _arranged(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with numbers, sorted, with one row of each time and without gaps, as far as the task says so."""
    return _filled(task, _merged(task, _sorted(_column(task), _numeric(task, frame))))


def _sorted(column: SeriesColumn, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table in order of time, if the task says so; rows of equal time stay in their order."""
    if not column.sort:
        return frame
    return frame.iloc[np.argsort(_times(frame, column).to_numpy(), kind="stable")].reset_index(drop=True)


def _merged(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with one row of each time of a group, if the task says so; its repairs tell how many were."""
    column = _column(task)
    if column.same_time == "refuse":
        return frame
    keys = [_group_numbers(frame, column), _times(frame, column).to_numpy()]
    together = frame.groupby(keys, sort=False, dropna=False)
    place = together.ngroup().to_numpy()
    merged = frame.iloc[np.unique(place, return_index=True)[1]].reset_index(drop=True)
    values = together[[*task.columns]]
    merged[[*task.columns]] = (values.mean() if column.same_time == "mean" else values.last()).to_numpy()
    repeated, way = len(frame) - len(merged), "the mean of each time" if column.same_time == "mean" else "the last one"
    notes = [f"{repeated:,} rows repeat a time: {way} is kept"] if repeated else []
    merged.attrs["repairs"] = [*frame.attrs.get("repairs", []), *notes]
    return merged


def _filled(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with missing steps and values filled, if the task says so; its repairs tell how many."""
    column = _column(task)
    if column.gaps == "refuse":
        return frame
    groups = _group_numbers(frame, column)
    parts = [
        gaps.fill(part, _times(part, column), column, _target_first(task))
        for _, part in frame.groupby(groups, sort=False)
    ]
    return gaps.joined(frame, parts, column)


def _target_first(task: Task) -> list[str]:
    """Return the names of the columns of values, that of the target first."""
    return sorted(task.columns, key=lambda name: name != task.target.column)


def _measured(task: Task, frame: pd.DataFrame, by_group: Array, ends: Array) -> Array:
    """Return the ends of the windows that are followed by values of the file, not by those that fill its gaps.

    A roll-out needs each step, so a task with one forecasts them all.
    """
    if "_filled" not in frame or task.evaluate.rollout or not _horizon(task):
        return ends
    filled = frame["_filled"].to_numpy(bool)[by_group]
    measured = ends[~filled[ends[:, None] + np.arange(_horizon(task))].any(axis=1)]
    return measured if len(measured) else ends


def _ends(lengths: list[int], window: int, horizon: int) -> Array:
    """Return the places after each window that has a full horizon, in groups of these lengths one after another."""
    starts = np.cumsum([0, *lengths])
    return np.concatenate(
        [
            np.arange(start + window, start + length + 1 - horizon)
            for start, length in zip(starts, lengths, strict=False)
        ]
    )


def _truth(cells: Array, places: Array, horizon: int, *, rise: bool) -> Array:
    """Return what follows each window: one value, as many as the horizon, or whether the last is above the window's."""
    targets = cells[places + np.arange(horizon)]
    if rise:
        risen: Array = (targets[:, -1] > cells[places[:, 0] - 1]).astype(np.int64)
        return risen
    return targets[:, 0] if horizon == 1 else targets


def _places_by_group(frame: pd.DataFrame, column: SeriesColumn) -> Iterable[Array]:
    """Return the rows of each group in their order; the groups in the order of their names."""
    numbers = _group_numbers(frame, column)
    return map(np.asarray, numbers.groupby(numbers).indices.values())


def _column(task: Task) -> SeriesColumn:
    """Return the target's column, or any: the loader has refused tasks whose columns differ in window or order."""
    column = task.columns.get(task.target.column) or next(iter(task.columns.values()))
    assert isinstance(column, SeriesColumn)  # noqa: S101 - for the type checker: the columns of a series are series
    return column


def _required_columns(task: Task) -> list[str]:
    column, labels = _column(task), [task.target.column] if _is_labelled(task) else []
    return [*labels, *filter(None, (column.group, column.order)), *task.columns]


def _times(frame: pd.DataFrame, column: SeriesColumn) -> pd.Series[float]:
    """Return the time of each row as a number; without a time column, its position."""
    import pandas as pd

    if "_time" in frame:  # of rows whose gaps were filled
        times_filled: pd.Series[float] = frame["_time"]
        return times_filled
    if not column.order:
        return pd.Series(np.arange(len(frame), dtype=np.float64), index=frame.index)
    return times(frame[column.order], column.format)


def _group_numbers(frame: pd.DataFrame, column: SeriesColumn) -> pd.Series[int]:
    """Return the place of each row's group among the sorted names of all; 0 everywhere without a group column."""
    import pandas as pd

    if not column.group:
        return pd.Series(0, index=frame.index)
    places, values = pd.factorize(frame[column.group], use_na_sentinel=False)
    _, numbers = np.unique([str(value) for value in values], return_inverse=True)
    return pd.Series(numbers[places], index=frame.index)


def _values(frame: pd.DataFrame, name: str) -> Array:
    import pandas as pd

    values: Array = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"{name}: expected finite values; row {int(np.argmin(np.isfinite(values)))} is not")
    return values
