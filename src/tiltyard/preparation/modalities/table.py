"""Tables: one file in any format that can be read, a row an example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.config.task import Task
from tiltyard.data import table_reader
from tiltyard.preparation.modalities.base import Modality, RawTable, parse, truth_of_cells

if TYPE_CHECKING:
    import pandas as pd

ROWS = 1 << 18  # of a part: fewer make each step's own cost felt, more take memory


class Table(Modality):
    """table.csv, or table with another suffix."""

    file: ClassVar = "table.csv"

    def facts(self, task: Task, folder: Path) -> pd.DataFrame:
        """The table itself, each column as its type reads it."""
        import pandas as pd

        look = self.look(task, folder)
        frame = pd.concat(look.parts(look.columns))
        frame.attrs["repairs"] = look.repairs
        return frame

    def look(self, task: Task, folder: Path) -> RawTable:
        """Look at the whole file once, for types and repairs."""
        table = self._table(task, folder)
        columns = [*table.layout.columns]

        def parts(names: Sequence[str]) -> Iterator[pd.DataFrame]:
            for frame in table.parts(names, ROWS):
                yield _facts(task, frame)

        return RawTable(columns, table.layout.repairs, parts)

    def rows(self, task: Task, folder: Path) -> tuple[Rows, Array]:
        """One row a line."""
        rows, truth = zip(*self.parts(task, folder), strict=True)
        return {name: np.concatenate([some[name] for some in rows]) for name in task.columns}, np.concatenate(truth)

    def parts(self, task: Task, folder: Path) -> Iterator[tuple[Rows, Array]]:
        """Some lines at a time."""
        target = task.target.column
        for frame in self._table(task, folder).parts([*task.columns, target], ROWS):
            rows = {name: parse(task, name, frame[name]) for name in task.columns}
            yield rows, truth_of_cells(task, frame[target])

    def cells(self, task: Task, folder: Path, name: str) -> pd.Series[Any]:
        """The column whole."""
        import pandas as pd

        table = self._table(task, folder)
        table_reader.require_columns(self.open(folder), [name], table.layout.columns)
        cells: pd.Series[Any] = pd.concat([frame[name] for frame in table.parts([name], ROWS)])
        return cells

    def _table(self, task: Task, folder: Path) -> table_reader.TableFile:
        path = self.open(folder)
        table = table_reader.open_table(path, task.source.dialect, _texts(task))
        table_reader.require_columns(path, [*task.columns, task.target.column], table.layout.columns)
        return table


def _facts(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    """Turn columns of the task, as far as they were read, into what expectations look at."""
    import pandas as pd

    target = task.target.column
    for name in task.columns.keys() & set(frame.columns):
        frame[name] = task.columns[name].facts_of_cells(frame[name])
    if target in frame:
        cells = frame[target]
        named = _is_spelled(task)
        frame[target] = cells.map(str, na_action="ignore") if named else pd.to_numeric(cells, errors="coerce")
    return frame


def _texts(task: Task) -> list[str]:
    """Name the columns whose cells are wanted as they are spelled; labels are among them."""
    names = [name for name, column in task.columns.items() if column.spelled]
    return [*names, task.target.column] if _is_spelled(task) else names


def _is_spelled(task: Task) -> bool:
    return bool(task.target.labels) or task.kind.targets == "text"
