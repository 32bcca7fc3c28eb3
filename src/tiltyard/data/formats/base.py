"""Base class of table formats: read a file as batches of typed columns, in two passes of bounded memory."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tiltyard import plugins
from tiltyard.data.tables import archive
from tiltyard.data.tables.column_types import ColumnType
from tiltyard.data.tables.dialect import Dialect
from tiltyard.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Layout:
    """The result of the first pass over a file, by which the second pass reads it."""

    columns: dict[str, ColumnType]
    rows: int
    repairs: list[str]  # how the cells differ from the text of the file, in sentences
    format_state: dict[str, Any] = field(default_factory=dict)  # what the format itself needs for the second pass


class Format(ABC):
    """One format of tables; each plug-in in formats/ implements one."""

    suffixes: ClassVar[tuple[str, ...]]

    def __init__(self, path: Path, dialect: Dialect, suffix: str) -> None:
        self.path, self.dialect, self.suffix = path, dialect, suffix

    @abstractmethod
    def survey(self) -> Layout:
        """Make the first pass over the whole file; raise a DataError if it is not a table."""

    @abstractmethod
    def batches(self, layout: Layout, names: list[str]) -> Iterator[pa.Table]:
        """Yield some of the columns, batch by batch, converted to their types."""

    def guess(self) -> dict[str, Any]:
        """Guess settings of `source.read` by the first rows: only formats that people lay out by hand have titles."""
        return {}

    def error(self, text: str, hint: str = "") -> DataError:
        """Return an error that names the file."""
        return DataError(f"{self.path.name}: {text}", hint=hint)

    def refuse_dialect(self) -> None:
        """Raise if the task sets options that only delimited text has."""
        if set_options := self.dialect.set_options:
            raise self.error(f"source.read: {', '.join(set_options)}: expected only for delimited text such as .csv")


def formats_by_suffix() -> dict[str, type[Format]]:
    """Return the format of each suffix."""
    formats: list[type[Format]] = [plugins.load("formats", name) for name in plugins.names("formats")]
    return {suffix: format_class for format_class in formats for suffix in format_class.suffixes}


def readable_suffixes() -> str:
    """Return a text that lists the suffixes that can be read, for error messages."""
    return f"{', '.join(formats_by_suffix())}, plain or compressed as {', '.join(archive.COMPRESSIONS)}"


def advice(suffix: str) -> str:
    """Return what to do with a file of a format that is not read."""
    workbooks, databases = (
        (".xls", ".xlsb", ".ods", ".numbers"),
        (".sqlite", ".sqlite3", ".db", ".sql", ".duckdb", ".mdb"),
    )
    if suffix in workbooks:
        return "save it as .xlsx or CSV"
    if suffix in databases:
        return "export the table as CSV, or read it with source: {kind: sql}: tiltyard help source"
    return "save it as CSV or Parquet, such as with pandas: frame.to_parquet('table.parquet')"


def unique_names(names: list[str]) -> tuple[list[str], list[str]]:
    """Return a unique name for each column, and the changes of names, in sentences.

    A repeated name is not an error, since the task may not use these columns: the first one keeps it.
    """
    bare = [re.sub(r'^"(.*)"$', r"\1", name.strip()) for name in names]  # the parser keeps quotes that follow a blank
    repairs = ["blanks around column names dropped"] if bare != names else []
    unique: list[str] = []
    for place, name in enumerate(bare, start=1):
        requested = name or f"column_{place}"
        free = _unused_name(requested, {*unique, *bare} - {name} if name not in unique else {*unique, *bare})
        if free != name:
            repairs.append(
                f"column {place} has no name: {free}" if not name else f"repeated column name {name}: {free}"
            )
        unique.append(free)
    return unique, repairs


def _unused_name(name: str, taken: set[str]) -> str:
    numbers = iter(range(2, len(taken) + 3))
    free = name
    while free in taken:
        free = f"{name}_{next(numbers)}"
    return free
