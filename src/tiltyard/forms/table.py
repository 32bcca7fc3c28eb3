"""Tables: one file in any format that can be read, a row an example."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tiltyard import reading
from tiltyard.column import Array, Rows
from tiltyard.form import Form, parse, truth_of
from tiltyard.task import Task

if TYPE_CHECKING:
    import pandas as pd


class Table(Form):
    """table.csv, or table with another suffix."""

    file: ClassVar = "table.csv"

    def facts(self, task: Task, folder: Path) -> pd.DataFrame:
        """The table itself, each column as its type reads it."""
        import pandas as pd

        path = self.open(folder)
        frame = reading.read(path, task.source.dialect, texts=_texts(task)).frame
        reading.require(path, [*task.columns, task.target.column], frame.columns)
        for name, column in task.columns.items():
            frame[name] = column.facts(frame[name].tolist())
        if task.target.labels:
            frame[task.target.column] = frame[task.target.column].map(str, na_action="ignore")
        else:
            frame[task.target.column] = pd.to_numeric(frame[task.target.column], errors="coerce")
        return frame

    def rows(self, task: Task, folder: Path) -> tuple[Rows, Array]:
        """One row a line."""
        names = [*task.columns, task.target.column]
        frame = reading.read(self.open(folder), task.source.dialect, names, _texts(task)).frame
        rows = {name: parse(task, name, frame[name].tolist()) for name in task.columns}
        return rows, truth_of(task, frame[task.target.column].tolist())


def _texts(task: Task) -> list[str]:
    """Name the columns whose cells are wanted as they are spelled; labels are among them."""
    names = [name for name, column in task.columns.items() if column.spelled]
    return [*names, task.target.column] if task.target.labels else names
