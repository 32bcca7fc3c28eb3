"""The type of a format: how a file becomes batches of typed columns, in two passes of bounded memory."""

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
    """What a first pass over a whole file found; the second pass reads by it."""

    columns: dict[str, ColumnType]
    rows: int
    repairs: list[str]  # what was read otherwise than it is written, in sentences
    how: dict[str, Any] = field(default_factory=dict)  # what the format itself needs again


class Format(ABC):
    """One format of tables; plug-ins in formats/ say what each means."""

    suffixes: ClassVar[tuple[str, ...]]

    def __init__(self, path: Path, dialect: Dialect, suffix: str) -> None:
        self.path, self.dialect, self.suffix = path, dialect, suffix

    @abstractmethod
    def survey(self) -> Layout:
        """Look at the whole file; raise a DataError for what is no table."""

    @abstractmethod
    def batches(self, layout: Layout, names: list[str]) -> Iterator[pa.Table]:
        """Return some of the columns, batch by batch, in the types of their meanings."""

    def error(self, text: str, hint: str = "") -> DataError:
        """Return an error that names the file."""
        return DataError(f"{self.path.name}: {text}", hint=hint)

    def plain(self) -> None:
        """Refuse settings that only files of delimited text have."""
        if given := self.dialect.given:
            raise self.error(f"source.read: {', '.join(given)}: expected for .csv and .tsv alone")


def known() -> dict[str, type[Format]]:
    """Return the format of each suffix."""
    formats: list[type[Format]] = [plugins.load("formats", name) for name in plugins.names("formats")]
    return {suffix: one for one in formats for suffix in one.suffixes}


def kinds() -> str:
    """Name what can be read, for a complaint about what cannot."""
    return f"{', '.join(known())}, plain or {', '.join(archive.PACKINGS)}"


def named(names: list[str]) -> tuple[list[str], list[str]]:
    """Return a name for each column, all different, and tell in sentences which were changed.

    A name that stands twice is no error: the first keeps it, and a column that nobody asks for need not stop the file.
    """
    bare = [re.sub(r'^"(.*)"$', r"\1", name.strip()) for name in names]  # a quote after a blank quotes nothing
    told = ["blanks around column names dropped"] if bare != names else []
    given: list[str] = []
    for place, name in enumerate(bare, start=1):
        wanted = name or f"column_{place}"
        free = _free(wanted, {*given, *bare} - {name} if name not in given else {*given, *bare})
        if free != name:
            told.append(f"column {place} has no name: {free}" if not name else f"column name {name} again: {free}")
        given.append(free)
    return given, told


def _free(name: str, taken: set[str]) -> str:
    numbers = iter(range(2, len(taken) + 3))
    free = name
    while free in taken:
        free = f"{name}_{next(numbers)}"
    return free
