"""Reading tables of any format: the same bytes always give the same frame, and what was mended is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tiltyard.data.formats.base import Format, Layout, kinds, known
from tiltyard.data.tables import archive
from tiltyard.data.tables.dialect import Dialect
from tiltyard.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class Reading:
    """A table, and in sentences what was read otherwise than it stands in the file."""

    frame: pd.DataFrame
    repairs: list[str]


@dataclass(frozen=True)
class Surveyed:
    """A table that was looked at once from end to end, and is read by what was found, as often as wanted."""

    path: Path
    options: Dialect | None
    layout: Layout

    def parts(self, columns: Iterable[str] | None = None, rows: int = 1) -> Iterator[pd.DataFrame]:
        """Read some columns in parts of bounded memory and at least so many rows, numbered from the first."""
        import pyarrow as pa

        start, held, size = 0, [], 0
        for batch in self._batches(columns):
            held.append(batch)
            size += len(batch)
            if size >= rows:
                yield _frame(pa.concat_tables(held), self.layout, start)
                start, held, size = start + size, [], 0
        if held:
            yield _frame(pa.concat_tables(held), self.layout, start)

    def whole(self, columns: Iterable[str] | None = None) -> pd.DataFrame:
        """Read some columns at once."""
        import pyarrow as pa

        return _frame(pa.concat_tables(self._batches(columns)), self.layout, 0)

    def _batches(self, columns: Iterable[str] | None) -> Iterator[pa.Table]:
        wanted = list(dict.fromkeys(self.layout.columns if columns is None else columns))
        require(self.path, wanted, self.layout.columns)
        return _format(self.path, self.options).batches(self.layout, wanted)


def surveyed(path: Path, options: Dialect | None = None, texts: Iterable[str] = ()) -> Surveyed:
    """Look at a table; columns in `texts` will be read as they are spelled, though they be numbers throughout."""
    return Surveyed(path, options, _as_text(survey(path, options), set(texts)))


def read(
    path: Path, options: Dialect | None = None, columns: Iterable[str] | None = None, texts: Iterable[str] = ()
) -> Reading:
    """Read a table, or some of its columns; those in `texts` as they are spelled, though they be numbers throughout."""
    table = surveyed(path, options, texts)
    frame = table.whole(columns)
    frame.attrs["repairs"] = table.layout.repairs  # validation tells them; a frame is all that it gets
    return Reading(frame, table.layout.repairs)


def scan(path: Path, options: Dialect | None = None, columns: Iterable[str] | None = None) -> Iterator[pd.DataFrame]:
    """Read a table in parts whose memory is bounded; together they are what `read` gives."""
    yield from surveyed(path, options).parts(columns)


def survey(path: Path, options: Dialect | None = None) -> Layout:
    """Look at a whole table once, in bounded memory: its columns and their types, rows, and repairs."""
    return _format(path, options).survey()


def suffix(path: Path) -> str:
    """Return the suffix of the table in a file, packed or not; refuse what is no table that can be read."""
    with archive.opened(path) as (found, _):
        pass
    if found in known():
        return found
    hint = "save it as CSV" if found in (".xlsx", ".xls", ".ods") else ""
    raise DataError(f"{path.name}: expected a table in one of {kinds()}; received '{found}'", hint=hint)


def require(path: Path, columns: Iterable[str], received: Iterable[str]) -> None:
    """Insist on columns."""
    received = list(received)
    if missing := [name for name in columns if name not in received]:
        raise DataError(f"{path.name}: expected the columns {', '.join(missing)}; received {', '.join(received)}")


def _format(path: Path, options: Dialect | None) -> Format:
    found = suffix(path)
    return known()[found](path, options or Dialect(), found)


def _as_text(layout: Layout, names: set[str]) -> Layout:
    """Return columns back their spelling: of codes, 1.50 in one file must not be 1.5 in another."""
    columns = {
        name: replace(meaning, kind="text", blank=True) if name in names and meaning.kind != "text" else meaning
        for name, meaning in layout.columns.items()
    }
    return replace(layout, columns=columns)


def _frame(table: pa.Table, layout: Layout, start: int) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    frame.index += start
    types = {name: dtype for name in frame.columns if (dtype := layout.columns[name].dtype)}
    return frame.astype(types)
