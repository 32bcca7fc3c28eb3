"""Tables: one CSV file, a row an example."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tiltyard.column import Array, Rows
from tiltyard.form import Form, parse, read_csv, truth_of
from tiltyard.task import Task

if TYPE_CHECKING:
    import pandas as pd


class Table(Form):
    """table.csv with a header."""

    file: ClassVar = "table.csv"

    def facts(self, task: Task, folder: Path) -> pd.DataFrame:
        """The table itself, each column as its type reads it."""
        import pandas as pd

        frame = self._read(task, folder)
        for name, column in task.columns.items():
            frame[name] = column.facts(frame[name].tolist())
        if task.classes:
            frame[task.target.column] = frame[task.target.column].map(str, na_action="ignore")
        else:
            frame[task.target.column] = pd.to_numeric(frame[task.target.column], errors="coerce")
        return frame

    def rows(self, task: Task, folder: Path) -> tuple[Rows, Array]:
        """One row a line."""
        frame = self._read(task, folder)
        rows = {name: parse(task, name, frame[name].tolist()) for name in task.columns}
        return rows, truth_of(task, frame[task.target.column].tolist())

    def _read(self, task: Task, folder: Path) -> pd.DataFrame:
        return read_csv(self.open(folder), [*task.columns, task.target.column])
