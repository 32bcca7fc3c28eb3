"""Read tables of any format into pandas: the same bytes always give the same frame, and repairs are reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tiltyard.data.formats.base import Format, Layout, advice, formats_by_suffix, readable_suffixes
from tiltyard.data.tables import archive, date_parts
from tiltyard.data.tables.column_types import ColumnType
from tiltyard.data.tables.dialect import Dialect
from tiltyard.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MAX_NAMED = 50  # columns in a message


@dataclass(frozen=True)
class LoadedTable:
    """A table, and the repairs made while reading it, in sentences."""

    frame: pd.DataFrame
    repairs: list[str]


@dataclass(frozen=True)
class TableFile:
    """A table whose layout was found by one pass over the whole file, to be read as often as needed."""

    path: Path
    options: Dialect | None
    layout: Layout

    def parts(self, columns: Iterable[str] | None = None, rows: int = 1) -> Iterator[pd.DataFrame]:
        """Read some columns in parts of at least `rows` rows and bounded memory; the index runs through all parts."""
        for start, table in self.tables(columns, rows):
            yield self.frame(table, start)

    def tables(self, columns: Iterable[str] | None = None, rows: int = 1) -> Iterator[tuple[int, pa.Table]]:
        """Read the same parts as Arrow tables, each with the number of its first row."""
        import pyarrow as pa

        start, batches, size = 0, [], 0
        for batch in self.batches(columns):
            batches.append(batch)
            size += len(batch)
            if size >= rows:
                yield start, pa.concat_tables(batches)
                start, batches, size = start + size, [], 0
        if batches:
            yield start, pa.concat_tables(batches)

    def frame(self, table: pa.Table, start: int) -> pd.DataFrame:
        """Convert a part to pandas."""
        return _frame(table, self.layout, start)

    def to_frame(self, columns: Iterable[str] | None = None) -> pd.DataFrame:
        """Read some columns at once."""
        import pyarrow as pa

        return _frame(pa.concat_tables(self.batches(columns)), self.layout, 0)

    def batches(self, columns: Iterable[str] | None) -> Iterator[pa.Table]:
        """Read some columns in the batches of the format."""
        import pyarrow as pa

        names = list(dict.fromkeys(self.layout.columns if columns is None else columns))
        require_columns(self.path, names, self.layout.columns)
        dates = {name: parts for name, parts in _dates(self.options).items() if name in names}
        stored = [name for name in names if name not in dates]
        read = list(dict.fromkeys([*stored, *(part for parts in dates.values() for part in parts)]))
        in_file = replace(self.layout, columns=_without(self.layout.columns, _dates(self.options)))
        for batch in _format(self.path, self.options).batches(in_file, read):
            joined_dates = {name: date_parts.joined([batch[part] for part in parts]) for name, parts in dates.items()}
            yield (
                pa.table({name: joined_dates[name] if name in joined_dates else batch[name] for name in names})
                if joined_dates
                else batch
            )


def open_table(path: Path, options: Dialect | None = None, texts: Iterable[str] = ()) -> TableFile:
    """Find the layout of a table; the columns in `texts` will be read as text, even if all cells are numbers."""
    return TableFile(path, options, as_text(survey(path, options), set(texts)))


def read(
    path: Path, options: Dialect | None = None, columns: Iterable[str] | None = None, texts: Iterable[str] = ()
) -> LoadedTable:
    """Read a table, or some of its columns; those in `texts` are read as text, even if all cells are numbers."""
    table = open_table(path, options, texts)
    frame = table.to_frame(columns)
    frame.attrs["repairs"] = table.layout.repairs  # validation reports them, and receives the frame alone
    return LoadedTable(frame, table.layout.repairs)


def scan(path: Path, options: Dialect | None = None, columns: Iterable[str] | None = None) -> Iterator[pd.DataFrame]:
    """Read a table in parts of bounded memory; concatenated, they equal what `read` returns."""
    yield from open_table(path, options).parts(columns)


def survey(path: Path, options: Dialect | None = None) -> Layout:
    """Find the layout of a table by one pass in bounded memory: columns, their types, rows, and repairs."""
    layout = _format(path, options).survey()
    return replace(layout, columns=date_parts.with_dates(layout.columns, _dates(options)))


def _dates(options: Dialect | None) -> dict[str, list[str]]:
    return (options.dates if options else None) or {}


def _without(columns: dict[str, ColumnType], names: Iterable[str]) -> dict[str, ColumnType]:
    dropped = set(names)
    return {name: column for name, column in columns.items() if name not in dropped}


def suffix(path: Path) -> str:
    """Return the suffix of the table in a file, compressed or not; raise if its format is not known."""
    with archive.open_stream(path) as (ending, _):
        pass
    if ending in formats_by_suffix():
        return ending
    received = f"expected a table in one of {readable_suffixes()}; received '{ending}'"
    raise DataError(f"{path.name}: {received}", hint=advice(ending))


def require_columns(path: Path, columns: Iterable[str], received: Iterable[str]) -> None:
    """Raise a DataError if a column is missing."""
    received = list(received)
    if missing := [name for name in columns if name not in received]:
        known = received[:MAX_NAMED] + (
            [f"and {len(received) - MAX_NAMED:,} more"] if len(received) > MAX_NAMED else []
        )
        meant = did_you_mean(missing[0], received)
        text = f"expected the columns {', '.join(missing)}{meant}; received {', '.join(known)}"
        hint = "name columns as in the header; if the header was not found: source.read, or tiltyard init --skip-rows"
        raise DataError(f"{path.name}: {text}", hint=hint)


def _format(path: Path, options: Dialect | None) -> Format:
    ending = suffix(path)
    return formats_by_suffix()[ending](path, options or Dialect(), ending)


def as_text(layout: Layout, names: set[str]) -> Layout:
    """Return the layout with some columns as text: a code 1.50 in one file must not become 1.5 in another."""
    columns = {
        name: replace(column_type, kind="text", leading_blank=True)
        if name in names and column_type.kind != "text"
        else column_type
        for name, column_type in layout.columns.items()
    }
    return replace(layout, columns=columns)


def _frame(table: pa.Table, layout: Layout, start: int) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    frame.index += start
    types = {name: dtype for name in frame.columns if (dtype := layout.columns[name].dtype)}
    return frame.astype(types)
