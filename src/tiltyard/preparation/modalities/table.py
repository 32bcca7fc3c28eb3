"""Tables: one file in any readable format, with one row for each example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, ParsedRows, Rows, decoded
from tiltyard.config.task import Task
from tiltyard.data import table_reader
from tiltyard.errors import DataError
from tiltyard.modeling.columns._label_cells import labels_of
from tiltyard.preparation.modalities import _fact_parts
from tiltyard.preparation.modalities._fact_parts import FactPart
from tiltyard.preparation.modalities.base import (
    Modality,
    RawTable,
    no_truth,
    parse_arrow_column,
    parse_arrow_target,
    parse_column,
    parse_target_column,
)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

CHUNK_ROWS = 1 << 17  # small chunks cost time, large ones memory
MAX_ARROW_BYTES = 1 << 30  # of a column; the offsets of Arrow's texts have 32 bits


class Table(Modality):
    """table.csv, or table with another suffix."""

    file: ClassVar = "table.csv"
    drops_rows: ClassVar = True

    def __init__(self) -> None:
        self.dropped = self.rows_read = 0  # set by chunks()

    def facts(self, task: Task, folder: Path) -> pd.DataFrame:
        """Return the table with each column converted to its type."""
        import pandas as pd

        table = self.raw_table(task, folder)
        frame = pd.concat(table.chunks(table.columns))
        frame.attrs["repairs"] = table.repairs
        return frame

    def raw_table(self, task: Task, folder: Path) -> RawTable:
        """Scan the whole file once for types and repairs; return its columns and a reader of chunks."""
        table = self._table(task, folder)
        columns = [*table.layout.columns]

        def chunks(names: Sequence[str]) -> Iterator[pd.DataFrame]:
            for frame in table.parts(names, CHUNK_ROWS):
                yield _parsed_facts(task, frame)

        def parts(names: Sequence[str]) -> Iterator[FactPart]:
            for start, part in table.tables(names, CHUNK_ROWS):
                yield _fact_parts.of_table(
                    part, start, lambda cells, first: _parsed_facts(task, table.frame(cells, first))
                )

        return RawTable(columns, table.layout.repairs, chunks, parts)

    def rows(self, task: Task, folder: Path) -> tuple[Rows, Array]:
        """Return one row for each line."""
        rows, truth = zip(*self.chunks(task, folder), strict=True)
        columns = {name: np.concatenate([decoded(chunk[name]) for chunk in rows]) for name in task.columns}
        return columns, np.concatenate(truth)

    def chunks(self, task: Task, folder: Path) -> Iterator[tuple[ParsedRows, Array]]:
        """Yield rows in chunks, without those that have no target; refuse a table with too many of these."""
        table = self._table(task, folder)
        self.dropped = self.rows_read = 0
        for start, part in table.tables(_column_names(task), CHUNK_ROWS):
            has_target = _has_target(task, part)
            self.dropped, self.rows_read = self.dropped + int((~has_target).sum()), self.rows_read + len(has_target)
            if has_target.any():
                yield _parsed(task, table, part, start, has_target)
        if self.dropped > task.target.drop_missing * self.rows_read:
            expected = (
                f"expected a target ({task.target.column}) in at least {1 - task.target.drop_missing:.0%} of the rows"
            )
            raise DataError(
                f"{expected}; it is missing in {self.dropped:,} of {self.rows_read:,}",
                hint="find the missing targets, or raise target.drop_missing to leave these rows out",
            )

    def notes(self, folder: Path) -> list[str]:
        """Return how many rows were left out because they have no target."""
        return [f"{self.dropped:,} of {self.rows_read:,} rows have no target: left out"] if self.dropped else []

    def raw_column(self, task: Task, folder: Path, name: str) -> pd.Series[Any]:
        """Return the whole column."""
        import pandas as pd

        table = self._table(task, folder)
        table_reader.require_columns(self.raw_file(folder), [name], table.layout.columns)
        parts = table.tables([name, *_target_names(task)], CHUNK_ROWS)
        cells: pd.Series[Any] = pd.concat(
            [table.frame(part.select([name]), start)[name][_has_target(task, part)] for start, part in parts]
        )
        return cells

    def _table(self, task: Task, folder: Path) -> table_reader.TableFile:
        path = self.raw_file(folder)
        table = table_reader.open_table(path, task.source.dialect, _text_columns(task))
        table_reader.require_columns(path, _column_names(task), table.layout.columns)
        return table


def _target_names(task: Task) -> list[str]:
    """Return the column of the target; no column if there is no target."""
    return [task.target.column] if task.target.column else []


def _column_names(task: Task) -> list[str]:
    return [*task.columns, *_target_names(task)]


def _has_target(task: Task, part: pa.Table) -> Array:
    """Return which rows have a target; a cell without labels is one, if there may be any number of them."""
    import pyarrow.compute as pc
    from pyarrow import types

    if task.problem == "multilabel" or not task.target.column:
        return np.ones(len(part), dtype=bool)
    cells = part[task.target.column]
    has_target: Array = cells.is_valid().to_numpy()
    if types.is_string(cells.type) and cells.null_count < len(cells):
        has_target = (
            has_target & pc.not_equal(pc.utf8_trim_whitespace(cells), "").fill_null(fill_value=False).to_numpy()
        )
    return has_target


def _parsed(
    task: Task, table: table_reader.TableFile, part: pa.Table, start: int, has_target: Array
) -> tuple[ParsedRows, Array]:
    """Parse rows by column in Arrow; where that is not possible, in pandas."""
    chosen = None if has_target.all() else has_target

    def arrow(name: str) -> pa.Array | None:
        if part[name].nbytes >= MAX_ARROW_BYTES:
            return None
        cells = part[name].combine_chunks()
        return cells if chosen is None else cells.filter(chosen)

    def pandas(name: str) -> pd.Series[Any]:
        cells = table.frame(part.select([name]), start)[name]
        return cells if chosen is None else cells[chosen]

    rows: ParsedRows = {}
    for name in task.columns:
        cells = arrow(name)
        parsed = None if cells is None else parse_arrow_column(task, name, cells)
        rows[name] = parse_column(task, name, pandas(name)) if parsed is None else parsed
    if not task.target.column:
        return rows, no_truth(len(part))
    cells = arrow(task.target.column)
    truth = None if cells is None else parse_arrow_target(task, cells)
    return rows, parse_target_column(task, pandas(task.target.column)) if truth is None else truth


def _parsed_facts(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    """Convert the task's columns, as far as they were read, to the values that expectations check."""
    target = task.target.column
    for name in task.columns.keys() & set(frame.columns):
        frame[name] = task.columns[name].facts_of_cells(frame[name])
    if target and target in frame:
        cells = frame[target]
        frame[target] = _target_facts(task, cells)
    return frame


def _target_facts(task: Task, cells: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    if task.problem == "multilabel":
        return _one_label(task, cells)
    if _target_is_text(task):
        return cells.map(str, na_action="ignore")
    return task.target.number.facts_of_cells(cells) if task.target.written else pd.to_numeric(cells, errors="coerce")


def _one_label(task: Task, cells: pd.Series[Any]) -> pd.Series[Any]:
    """Return one label of each cell: the first that the task does not name, if there is any; missing if it has none."""
    known = {*task.labels}

    def first(cell: object) -> str | None:
        labels = sorted(labels_of(cell, task.target.separator), key=known.__contains__)
        return labels[0] if labels else None

    return cells.map({cell: first(cell) for cell in cells.unique()}).astype(object)


def _text_columns(task: Task) -> list[str]:
    """Return the columns that must be read as text, including a target of labels."""
    names = [name for name, column in task.columns.items() if column.parsed_as_text]
    return [*names, task.target.column] if _target_is_text(task) or task.target.written else names


def _target_is_text(task: Task) -> bool:
    return bool(task.target.labels) or task.problem_type.targets == "text"
