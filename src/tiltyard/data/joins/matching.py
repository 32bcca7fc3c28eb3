"""Matching: find the row of a joined table that belongs to each row of the main table, by key, by time, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tiltyard.arrays import Array
from tiltyard.data import table_reader
from tiltyard.data.joins import keys, times
from tiltyard.data.joins.keys import KeyCodes, KeyColumn
from tiltyard.data.joins.rule import JoinRule
from tiltyard.data.joins.times import LatestRows, Times
from tiltyard.data.table_reader import TableFile
from tiltyard.data.tables.column_types import ColumnType
from tiltyard.errors import DataError, format_value

if TYPE_CHECKING:
    import pyarrow as pa

MAX_EXAMPLES = 3  # repeated keys that are named


@dataclass(frozen=True)
class Matching:
    """Where the rows of a joined table are, by key and time."""

    name: str
    rule: JoinRule
    main_keys: list[KeyColumn]
    codes: KeyCodes | None
    latest: LatestRows  # without times, all of one time
    joined_times: Times | None
    max_age: float | None
    joined_rows: int
    without_key: int  # joined rows that can never match
    repeated: list[str]  # the first keys, or times, that several joined rows have
    repeats: int

    @property
    def main_columns(self) -> list[str]:
        """The columns of the main table that are compared."""
        return [*(column.name for column in self.main_keys), *([self.rule.times[0]] if self.rule.times else [])]

    def find(self, batch: pa.Table) -> Array:
        """Return the place of each row's match among the sorted joined rows; -1 if there is none."""
        codes, moments = self.codes_of(batch), self.times_of(batch)
        return self.latest.find(codes, moments, same_time=self.rule.same_time, max_age=self.max_age)

    def codes_of(self, batch: pa.Table) -> Array:
        """Return the number of each row's key; -1 if the joined table does not have it."""
        if self.codes is None:
            return np.zeros(len(batch), dtype=np.int64)
        cells = [batch[column.name].combine_chunks() for column in self.main_keys]
        return self.codes.of(_comparable(cells, self.main_keys, self.codes.kinds, self.name))

    def times_of(self, batch: pa.Table) -> Times:
        """Return the time of each row of the main table."""
        if not self.rule.times or not self.joined_times:
            return _no_times(len(batch))
        place = f"joins.{self.name}.time: {self.rule.times[0]}"
        found = times.read_times(batch[self.rule.times[0]].combine_chunks(), self.rule, place)
        times.require_same_unit(self.name, found, self.joined_times)
        return found

    def ages(self, batch: pa.Table, places: Array) -> Array:
        """Return how old the matches are, in the unit of the times."""
        matched = places >= 0
        ages: Array = self.times_of(batch).moments[matched] - self.latest.moments[places[matched]]
        return ages

    def rows(self, places: Array, cells: pa.ChunkedArray | None = None) -> Array:
        """Return the rows of the joined file; with cells, for each the last one before it that has a value."""
        if not len(self.latest.order):
            return places
        if cells is not None and cells.null_count:
            filled = self.latest.filled(places, cells.is_valid().to_numpy())
            if self.max_age is not None:
                old = self.latest.moments[np.maximum(places, 0)] - self.latest.moments[np.maximum(filled, 0)]
                filled = np.where(old <= self.max_age, filled, -1)
            places = filled
        return np.where(places < 0, -1, self.latest.order[np.maximum(places, 0)])


def match_rows(name: str, rule: JoinRule, main: str, columns: Mapping[str, ColumnType], table: TableFile) -> Matching:
    """Read keys and times of a joined table; `columns` are those of the main table and of tables joined before."""
    time = rule.times[1] if rule.times else None
    _require(name, main, columns, rule)
    table_reader.require_columns(table.path, [*rule.keys.values(), *([time] if time else [])], table.layout.columns)
    cells = _read(table, [*rule.keys.values(), *([time] if time else [])])
    main_keys = [KeyColumn(main, key, columns[key]) for key in rule.keys]
    joined_keys = [KeyColumn(f"joined {name}", key, table.layout.columns[key]) for key in rule.keys.values()]
    kinds = [keys.common_kind(rule, name, *pair) for pair in zip(main_keys, joined_keys, strict=True)]
    compared = _comparable([cells[key.name] for key in joined_keys], joined_keys, kinds, name)
    codes = keys.numbered(compared, kinds, name) if compared else None
    moments = times.read_times(cells[time], rule, f"joins.{name}.time: {time}") if time else None
    rows = len(next(iter(cells.values())))
    numbers = codes.of(compared) if codes else np.zeros(rows, dtype=np.int64)
    latest = LatestRows.of(numbers, moments or _no_times(rows))
    repeats = latest.repeated()
    repeated = [_text(compared, cells[time] if time else None, int(latest.order[at])) for at in repeats[:MAX_EXAMPLES]]
    age = times.age_limit(rule, moments.unit, name) if moments else None
    return Matching(
        *(name, rule, main_keys, codes, latest, moments, age, rows, rows - len(latest.order), repeated, len(repeats))
    )


def _require(name: str, main: str, columns: Mapping[str, ColumnType], rule: JoinRule) -> None:
    """Raise if the main table, with what was joined before, lacks a key."""
    named = [*rule.keys, *([rule.times[0]] if rule.times else [])]
    if missing := [column for column in named if column not in columns]:
        text = f"joins.{name}: expected {', '.join(missing)} in {main} or a table joined before"
        raise DataError(f"{text}; received {', '.join(columns)}", hint=f"see joins.{name}.key and time")


def _read(table: TableFile, names: list[str]) -> dict[str, pa.Array]:
    import pyarrow as pa

    whole = pa.concat_tables(part for _, part in table.tables(dict.fromkeys(names))).combine_chunks()
    return {name: whole[name].combine_chunks() for name in names}


def _comparable(cells: list[pa.Array], columns: list[KeyColumn], kinds: list[str], name: str) -> list[pa.Array]:
    parts = zip(cells, columns, kinds, strict=True)
    return [keys.comparable(column_cells, column, kind, name) for column_cells, column, kind in parts]


def _no_times(rows: int) -> Times:
    return Times(np.zeros(rows, dtype=np.int64), np.ones(rows, dtype=bool), "numbers")


def _text(compared: list[pa.Array], time: pa.Array | None, row: int) -> str:
    values = [column[row].as_py() for column in [*compared, *([] if time is None else [time])]]
    return " ".join(format_value(value) for value in values)
