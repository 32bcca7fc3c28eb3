"""Tables: one file in any readable format, with one row for each example."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, ParsedRows, Rows, decoded
from tiltyard.config.task import Task
from tiltyard.data import table_reader
from tiltyard.errors import DataError
from tiltyard.preparation.modalities import _fact_parts
from tiltyard.preparation.modalities._fact_parts import FactPart
from tiltyard.preparation.modalities.base import (
    Modality,
    RawTable,
    no_truth,
    one_label,
    parse_arrow_column,
    parse_arrow_target,
    parse_column,
    parse_target_column,
    single_targets,
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

    def parts(self, task: Task, table: table_reader.TableFile, names: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Yield some columns in parts that are parsed at a time, each with the number of its first row."""
        yield from table.tables(names, CHUNK_ROWS)

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
            for start, part in self.parts(task, table, names):
                yield _parsed_facts(task, table.frame(part, start))

        def parts(names: Sequence[str]) -> Iterator[FactPart]:
            for start, part in self.parts(task, table, names):
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
        # the target of masked words is the text itself
        names = [*dict.fromkeys([*task.columns, *task.target.names])]
        for start, part in self.parts(task, table, names):
            has_target = _has_target(task, part)
            self.dropped, self.rows_read = self.dropped + int((~has_target).sum()), self.rows_read + len(has_target)
            if has_target.any():
                yield _parsed(task, table, part, start, has_target)
        if self.dropped > task.target.drop_missing * self.rows_read:
            targets, kept = ", ".join(task.target.names), f"{1 - task.target.drop_missing:.0%}"
            expected = f"expected a target ({targets}) in at least {kept} of the rows"
            raise DataError(
                f"{expected}; it is missing in {self.dropped:,} of {self.rows_read:,}",
                hint="find the missing targets, or raise target.drop_missing to leave these rows out",
            )

    def notes(self, folder: Path) -> list[str]:
        """Return how many rows have no match in a joined table, and how many were left out without a target."""
        dropped = [f"{self.dropped:,} of {self.rows_read:,} rows have no target: left out"] if self.dropped else []
        return [*super().notes(folder), *dropped]

    def raw_column(self, task: Task, folder: Path, name: str) -> pd.Series[Any]:
        """Return the whole column."""
        import pandas as pd

        table = self._table(task, folder)
        table_reader.require_columns(self.raw_file(folder), [name], table.layout.columns)
        names = [*dict.fromkeys([name, *task.target.names])]
        parts = table.tables(names, CHUNK_ROWS)
        cells: pd.Series[Any] = pd.concat(
            [table.frame(part.select([name]), start)[name][_has_target(task, part)] for start, part in parts]
        )
        return cells

    def _table(self, task: Task, folder: Path) -> table_reader.TableFile:
        path = self.raw_file(folder)
        table = self.open_raw(task, folder, _text_columns(task))
        table_reader.require_columns(path, [*task.columns, *task.target.names], table.layout.columns)
        return table


def _has_target(task: Task, part: pa.Table) -> Array:
    """Return which rows have all targets; a cell without labels is one, if there may be any number of them."""
    if task.problem in ("multilabel", "anomaly") or not task.target.names:
        return np.ones(len(part), dtype=bool)
    return np.asarray(np.logical_and.reduce([_has_value(part[name]) for name in task.target.names]))


def _has_value(cells: pa.ChunkedArray) -> Array:
    """Return which cells hold something."""
    import pyarrow.compute as pc
    from pyarrow import types

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
    if task.target.column in rows:
        return rows, decoded(rows[task.target.column])
    if not task.target.names:
        return rows, no_truth(len(part))
    truths = [_truth(single, arrow, pandas) for single in single_targets(task)]
    return rows, np.stack(truths, axis=1) if task.target.columns else truths[0]


def _truth(task: Task, arrow: Callable[[str], pa.Array | None], pandas: Callable[[str], pd.Series[Any]]) -> Array:
    """Return the truth of one target."""
    cells = arrow(task.target.column)
    truth = None if cells is None else parse_arrow_target(task, cells)
    return parse_target_column(task, pandas(task.target.column)) if truth is None else truth


def _parsed_facts(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    """Convert the task's columns, as far as they were read, to the values that expectations check."""
    for name in task.columns.keys() & set(frame.columns):
        frame[name] = task.columns[name].facts_of_cells(frame[name])
    for single in single_targets(task):
        if (target := single.target.column) in frame:
            frame[target] = _target_facts(single, frame[target])
    return frame


def _target_facts(task: Task, cells: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    if task.problem == "multilabel":
        return one_label(task, cells)
    if _target_is_text(task):
        return cells.map(str, na_action="ignore")
    return task.target.number.facts_of_cells(cells) if task.target.written else pd.to_numeric(cells, errors="coerce")


def _text_columns(task: Task) -> list[str]:
    """Return the columns that must be read as text, including a target of labels."""
    names = [name for name, column in task.columns.items() if column.parsed_as_text]
    return names + [
        single.target.column for single in single_targets(task) if _target_is_text(task) or single.target.written
    ]


def _target_is_text(task: Task) -> bool:
    return bool(task.target.labels) or task.problem_type.targets in ("text", "anomaly")
