"""A main table with the columns of others: read in parts like any table, with the joined tables in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.data import table_reader
from tiltyard.data.formats.base import Layout
from tiltyard.data.joins.matching import Matching, match_rows
from tiltyard.data.joins.rule import JoinRule
from tiltyard.data.joins.statistics import JoinStatistics, refuse, refuse_repeated, sentences
from tiltyard.data.table_reader import TableFile
from tiltyard.data.tables.column_types import ColumnType
from tiltyard.data.tables.dialect import Dialect
from tiltyard.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "joins"  # in the folder of raw data: a folder for each joined table
STEMS = ("table", "series")  # names of raw files that hold a table
MAX_BYTES = 1 << 29  # of the columns of all joined tables, which are held in memory


@dataclass(frozen=True)
class OpenedJoin:
    """A joined table, its columns by their names in the result, and how its rows are found."""

    name: str
    rule: JoinRule
    table: TableFile
    columns: dict[str, str]
    matching: Matching

    def load(self, names: Iterable[str]) -> pa.Table:
        """Read some columns of the joined table into memory."""
        import pyarrow as pa

        columns = {name: self.columns[name] for name in names if name in self.columns}
        parts, size = [], 0
        for _, part in self.table.tables(dict.fromkeys(columns.values())) if columns else ():
            parts.append(part)
            size += part.nbytes
            if size > MAX_BYTES:
                raise DataError(
                    f"joins.{self.name}: expected at most {MAX_BYTES >> 20} MiB, which are held in memory",
                    hint=f"take fewer columns (joins.{self.name}.columns), or join the tables before they are read",
                )
        if not parts:
            return pa.table({})
        table = pa.concat_tables(parts).combine_chunks()
        return pa.table({name: table[original] for name, original in columns.items()})


@dataclass(frozen=True)
class JoinedTable(TableFile):
    """The rows of the main table with the columns of all joined ones; its layout counts the joined rows."""

    main: TableFile = field(kw_only=True)
    joins: list[OpenedJoin] = field(kw_only=True)
    statistics: list[JoinStatistics] = field(kw_only=True)

    def batches(self, columns: Iterable[str] | None) -> Iterator[pa.Table]:
        """Read some columns in the batches of the main table, without rows that a join drops."""
        names = list(dict.fromkeys(self.layout.columns if columns is None else columns))
        table_reader.require_columns(self.path, names, self.layout.columns)
        used = self._used(names)
        needed = {*names, *(key for join in used for key in join.matching.main_columns)}
        loaded = {join.name: join.load(needed) for join in used}
        for batch in self.main.batches([name for name in self.main.layout.columns if name in needed]):
            joined = batch
            for join in used:
                joined = _joined(joined, join, loaded[join.name])
            yield joined.select(names)

    def _used(self, names: Iterable[str]) -> list[OpenedJoin]:
        """Return the joins that drop rows, add one of the columns, or add a key of such a join; in their order."""
        needed, used = {*names}, list[OpenedJoin]()
        for join in reversed(self.joins):
            if join.rule.unmatched == "drop" or needed & join.columns.keys():
                used.insert(0, join)
                needed.update(join.matching.main_columns)
        return used


def joined_file(raw: Path, name: str) -> Path:
    """Return the file of a joined table in a folder of raw data; raise if it is missing or no table."""
    folder = raw / FOLDER / name
    paths = sorted(path for path in folder.glob("*.*") if path.name.partition(".")[0] in STEMS)
    if len(paths) != 1:
        received = ", ".join(sorted(path.name for path in folder.glob("*"))) or "none"
        hint = f"fetch it: tiltyard fetch {raw.name}" if not folder.is_dir() else "join a source that yields one table"
        raise DataError(f"joins.{name}.source: expected one table; received {received}", hint=hint)
    return paths[0]


@dataclass(frozen=True)
class JoinedFiles:
    """The joins of a task, and the folder of raw data that holds the joined tables.

    Without `strict`, repeated keys, rows without a match and joins that match nothing are only counted.
    """

    rules: Mapping[str, JoinRule]
    raw: Path
    strict: bool = True


def open_table(path: Path, options: Dialect | None, joins: JoinedFiles, texts: Iterable[str] = ()) -> TableFile:
    """Open a table with its joins; without joins, the table itself."""
    texts = {*texts}
    if not joins.rules:
        return table_reader.open_table(path, options, texts)
    main, opened = table_reader.open_table(path, options), list[OpenedJoin]()
    columns, joined = dict(main.layout.columns), dict[str, ColumnType]()
    for name, rule in joins.rules.items():
        table = _open(joins.raw, name, rule)
        matching = match_rows(name, rule, path.name, columns, table)
        taken = _taken(name, rule, table, columns)
        columns |= {new: _type(table.layout.columns[old], rule) for new, old in taken.items()}
        table = replace(table, layout=table_reader.as_text(table.layout, {taken[text] for text in texts & {*taken}}))
        opened.append(OpenedJoin(name, rule, table, taken, matching))
        joined |= {new: _type(table.layout.columns[old], rule) for new, old in taken.items()}
    as_written = {key for rule in joins.rules.values() if rule.match == "text" for key in rule.keys}
    main = replace(main, layout=table_reader.as_text(main.layout, texts | as_written))
    statistics, rows = _count(main, opened)
    if joins.strict:
        refuse(statistics)
    repairs = [*main.layout.repairs, *_repairs(opened), *sentences(statistics)]
    layout = Layout({**main.layout.columns, **joined}, rows, repairs)
    return JoinedTable(path, options, layout, main=main, joins=opened, statistics=statistics)


def checksums(raw: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of the raw data, by its path in their folder."""
    paths = sorted(path for path in raw.rglob("*") if path.is_file())
    return {path.relative_to(raw).as_posix(): files.file_digest(path).hex() for path in paths}


def counted(table: TableFile) -> list[JoinStatistics]:
    """Return what each join found; nothing without joins."""
    return table.statistics if isinstance(table, JoinedTable) else []


def open_rows(
    path: Path, options: Dialect | None, joins: JoinedFiles, names: Iterable[str], texts: Iterable[str] = ()
) -> TableFile:
    """Open a file of new rows: as it is if it has the columns that are named, else joined with the tables at hand.

    No row is refused or left out; one without a match has missing values.
    """
    main = table_reader.open_table(path, options, texts)
    wanted = [*names]
    missing = [name for name in wanted if name not in main.layout.columns]
    rules = dict[str, JoinRule]()
    for name, rule in reversed([*joins.rules.items()] if missing else []):
        if taken := _offered(path, joins.raw, name, rule, missing):
            if present := [column for column in taken if column in wanted and column in main.layout.columns]:
                text = f"expected all columns of the join {name} or none; it has {', '.join(present)}"
                raise DataError(f"{path.name}: {text}, and not {', '.join(set(missing) & {*taken})}")
            columns = [old for new, old in taken.items() if new in missing]
            rules[name] = rule.model_copy(update={"unmatched": "missing", "columns": columns})
            missing = [column for column in missing if column not in taken]
            named = [*rule.keys, *([rule.times[0]] if rule.times else [])]
            missing += [key for key in named if key not in main.layout.columns]
    ordered = {name: rules[name] for name in joins.rules if name in rules}
    if not ordered:
        return main
    table = open_table(path, options, replace(joins, rules=ordered, strict=False), texts)
    for found in counted(table):
        refuse_repeated(found)
    return table


def _offered(path: Path, raw: Path, name: str, rule: JoinRule, missing: list[str]) -> dict[str, str]:
    """Return the columns that a join adds by their new names, if some are missing; raise if its table is not here."""
    if rule.columns and not {f"{rule.prefix}{column}" for column in rule.columns} & set(missing):
        return {}
    if not (raw / FOLDER / name).is_dir():
        text = f"{path.name}: expected the columns {', '.join(missing)}; they are not in it, and the table that "
        hint = f"fetch it: tiltyard fetch {raw.name}; or add the columns to the file"
        raise DataError(f"{text}the task joins ({name}) is not here", hint=hint)
    table = _open(raw, name, rule)
    offered = _taken(name, rule, table, {})
    return offered if offered.keys() & set(missing) else {}


def _open(folder: Path, name: str, rule: JoinRule) -> TableFile:
    """Open a joined table; its keys are read as text if they are compared as written."""
    return table_reader.open_table(
        joined_file(folder, name), rule.dialect, rule.keys.values() if rule.match == "text" else ()
    )


def _taken(name: str, rule: JoinRule, table: TableFile, known: Mapping[str, ColumnType]) -> dict[str, str]:
    """Return the columns that a join adds, by their new names; refuse a name that is taken."""
    used = {*rule.keys.values(), *([rule.times[1]] if rule.times else [])}
    chosen = rule.columns or [column for column in table.layout.columns if column not in used]
    table_reader.require_columns(table.path, chosen, table.layout.columns)
    taken = {f"{rule.prefix}{column}": column for column in chosen}
    if twice := [column for column in taken if column in known]:
        raise DataError(
            f"joins.{name}: expected new names of columns; {', '.join(twice)} is in another table, too",
            hint=f"set joins.{name}.prefix, such as {name}_, or name the columns to take: joins.{name}.columns",
        )
    return taken


def _type(column_type: ColumnType, rule: JoinRule) -> ColumnType:
    """Return the type of a joined column, which may have missing values if rows without a match stay."""
    return replace(column_type, missing=column_type.missing or rule.unmatched == "missing" or rule.max_age is not None)


def _repairs(joins: list[OpenedJoin]) -> list[str]:
    return [f"{join.name}: {repair}" for join in joins for repair in join.table.layout.repairs]


def _count(main: TableFile, joins: list[OpenedJoin]) -> tuple[list[JoinStatistics], int]:
    """Read the keys of all rows; return what each join finds for them, and the number of joined rows."""
    keys = {key for join in joins for key in join.matching.main_columns}
    loaded = {join.name: join.load(keys) for join in joins}
    statistics, rows = [JoinStatistics(join.name, join.rule, join.matching) for join in joins], 0
    for batch in main.batches([name for name in main.layout.columns if name in keys]):
        joined = batch
        for join, found in zip(joins, statistics, strict=True):
            found.add(joined)
            joined = _joined(joined, join, loaded[join.name])
        rows += len(joined)
    if not rows:
        refuse(statistics)
    return statistics, rows


def _joined(batch: pa.Table, join: OpenedJoin, loaded: pa.Table) -> pa.Table:
    """Add the loaded columns of a joined table to some rows; drop those without a match, if the task says so."""
    import pyarrow as pa

    places = join.matching.find(batch)
    if join.rule.unmatched == "drop" and (places < 0).any():
        batch, places = batch.filter(pa.array(places >= 0)), places[places >= 0]
    for name in loaded.column_names:
        rows = join.matching.rows(places, loaded[name]) if join.rule.forward_fill else join.matching.rows(places)
        batch = batch.append_column(name, _taken_cells(loaded[name], rows))
    return batch


def _taken_cells(cells: pa.ChunkedArray, rows: Array) -> pa.ChunkedArray:
    import pyarrow as pa

    return cells.take(pa.array(np.maximum(rows, 0), mask=rows < 0))
