"""Read the table for a draft as the task will: title rows, totals and texts for missing values become settings."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tiltyard.config.draft import joins
from tiltyard.config.draft.column_profile import ColumnProfile, profile_column
from tiltyard.config.draft.joins import JoinRequest
from tiltyard.config.join_section import Join
from tiltyard.data import table_reader
from tiltyard.data.formats.base import Layout, formats_by_suffix
from tiltyard.data.joins import joined_table
from tiltyard.data.joins.joined_table import JoinedFiles
from tiltyard.data.sources.file import File
from tiltyard.data.tables import date_parts
from tiltyard.data.tables.dialect import Dialect
from tiltyard.errors import TaskError, format_value
from tiltyard.modeling.columns._cell import MISSING
from tiltyard.runtime.progress import status
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

TOTAL = re.compile(
    r"(?i)\s*(grand |sub|zwischen)?(total|totals|sum|summe|gesamt|gesamtsumme|somme|suma|totale|average|mittelwert|"
    r"durchschnitt|saldo|mean|all|insgesamt)\b[ :]*.{0,20}"
)
TYPED = (".json", ".jsonl", ".ndjson", ".parquet", ".pq")  # formats with a missing value of their own, and no settings
MAX_TOTALS = 3  # rows at the end


@dataclass(frozen=True)
class DraftTable:
    """A table, the profiles of its columns, and how it was read."""

    frame: pd.DataFrame
    layout: Layout
    profiles: dict[str, ColumnProfile]
    read: dict[str, Any]  # the settings of `source.read`
    notes: list[str] = field(default_factory=list)  # what was decided while reading, in sentences
    path: Path | None = None
    joined: JoinedFiles | None = None
    joins: dict[str, Any] = field(default_factory=dict)  # the section of that name

    def texts(self, name: str) -> pd.Series[Any]:
        """Return a column as text: a label such as 01 is no number."""
        path = self.path
        assert path is not None  # noqa: S101 - for the type checker: only tests leave it out
        options = Dialect.model_validate(self.read) if self.read else None
        joined = self.joined or JoinedFiles({}, path.parent)
        return joined_table.open_table(path, options, joined, [name]).to_frame([name])[name]


def dialect_of(na: tuple[str, ...], **options: Any) -> Dialect:
    """Return the dialect of the options of `tiltyard init`; `na` adds to the usual texts for missing values."""
    settings = {key: value for key, value in options.items() if value not in (None, False)}
    settings |= {"na": [*MISSING, *na]} if na else {}
    settings |= {"delimiter": "\t"} if settings.get("delimiter") in ("\\t", "tab") else {}
    try:
        return Dialect.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        name = "--" + "-".join(str(part) for part in first["loc"][:1]).replace("_", "-")
        raise TaskError(f"{name}: {first['msg']}; received {format_value(first['input'])}") from None


@contextmanager
def open_draft(
    workspace: Workspace, data: str, dialect: Dialect, required: list[str], wanted: Sequence[JoinRequest] = ()
) -> Iterator[DraftTable]:
    """Fetch and read a table, joined with others; raise if it lacks one of the required columns."""
    with tempfile.TemporaryDirectory() as temporary, status("reading the table ..."):
        File(kind="file", path=data, read=dialect).fetch(Path(temporary), workspace)
        (path,) = Path(temporary).iterdir()
        yield _read(path, dialect, Path(data), required, joins.fetch(workspace, wanted, path.parent))


def _read(path: Path, dialect: Dialect, data: Path, required: list[str], wanted: dict[str, Join]) -> DraftTable:
    guessed, notes = _guess(path, dialect)
    chosen, join_notes = joins.settled(path, guessed, wanted) if wanted else ({}, [])
    notes, joined = [*notes, *join_notes], JoinedFiles(chosen, path.parent)
    main = {*table_reader.survey(path, guessed).columns} if wanted else set()
    table = joined_table.open_table(path, guessed, joined)
    table_reader.require_columns(data, required, table.layout.columns)
    frame = table.to_frame()
    if not guessed.skip_last and (totals := _totals(frame)):
        guessed = guessed.model_copy(update={"skip_last": totals})
        notes.append(f"the last {'row is a total' if totals == 1 else f'{totals} rows are totals'}: left out")
        table = joined_table.open_table(path, guessed, joined)
        frame = table.to_frame()
    own = {name: kind for name, kind in table.layout.columns.items() if not wanted or name in main}
    if not guessed.dates and (parts := date_parts.find(own, _ranges(frame[[*own]]))):
        guessed = guessed.model_copy(update={"dates": {_free("date", frame): parts}})
        table = joined_table.open_table(path, guessed, joined)
        frame = table.to_frame()
    profiles = _profiles(frame, table.layout, guessed)
    profiles = {name: profile if name in own else _with_na(profile) for name, profile in profiles.items()}
    marks = sorted({mark.strip() for name, profile in profiles.items() if name in own for mark in profile.na})
    marks = [mark for mark in marks if mark not in guessed.missing]
    if table_reader.suffix(path) in TYPED:
        profiles = {name: _with_na(profile) for name, profile in profiles.items()}
    elif marks and guessed.na is None:
        notes += [f"{profile.name}: {note}" for profile in profiles.values() for note in profile.notes if profile.na]
        guessed = guessed.model_copy(update={"na": [*MISSING, *marks]})
        table = joined_table.open_table(path, guessed, joined)
        frame = table.to_frame()
        settled = {n: p for n, p in profiles.items() if _is_settled(p) or n not in own}
        profiles = _profiles(frame, table.layout, guessed, settled)
    notes += [f"{profile.name}: {note}" for profile in profiles.values() for note in profile.notes]
    read = guessed.model_dump(mode="json", exclude_none=True)
    notes = list(dict.fromkeys(notes))
    return DraftTable(frame, table.layout, profiles, read, notes, path, joined, joins.content(chosen))


def _with_na(profile: ColumnProfile) -> ColumnProfile:
    """Declare the texts that mean a missing value in the column, since its format has no such setting for all."""
    marks = [mark.strip() for mark in profile.na]
    if not marks or profile.kind == "text":
        return profile
    return replace(profile, column={**profile.column, "na": [*profile.column.get("na", []), *marks]})


def _is_settled(profile: ColumnProfile) -> bool:
    """Return whether other texts for missing values do not change the profile of a column."""
    return profile.kind in ("number", "date") and not profile.na


def _profiles(
    frame: pd.DataFrame, layout: Layout, dialect: Dialect, settled: Mapping[str, ColumnProfile] = MappingProxyType({})
) -> dict[str, ColumnProfile]:
    """Profile all columns that are not settled; numbers that the reader found to have separators say so."""
    decimal = dialect.decimal or _decimal(layout)
    profiles = {}
    for place, name in enumerate(frame.columns, start=1):
        if name in settled:
            profiles[name] = settled[name]
            continue
        with status(f"column {place} of {len(frame.columns)}: {name} ..."):
            profiles[name] = _with_separators(profile_column(name, frame[name], decimal), layout)
    for name, parts in (dialect.dates or {}).items():
        profiles[name] = profiles[name].left_out(f"made of {', '.join(parts)}")
    return profiles


def _ranges(frame: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Return the least and the greatest number of each column of whole numbers."""
    numbers = [name for name in frame.columns if frame[name].dtype.kind == "i"]
    return {name: (float(frame[name].min()), float(frame[name].max())) for name in numbers}


def _free(name: str, frame: pd.DataFrame) -> str:
    return name if name not in frame.columns else _free(f"{name}_", frame)


def _decimal(layout: Layout) -> str:
    """Return the decimal separator that a column of the file proves, or that goes with its delimiter."""
    numbers = [column for column in layout.columns.values() if column.kind == "number"]
    if any(column.decimal == "," for column in numbers):
        return ","
    if any(column.decimal == "." for column in numbers):
        return "."
    return {";": ",", ",": "."}.get(layout.format_state.get("delimiter", ""), "")


def _with_separators(profile: ColumnProfile, layout: Layout) -> ColumnProfile:
    """Declare the separators of a column, so that a request may hold a cell as the file does."""
    column = layout.columns[profile.name]
    if profile.kind != "number" or column.plain or "written" in profile.column:
        return profile
    marks = {"decimal": column.decimal, "thousands": column.thousands}
    written = {key: mark for key, mark in marks.items() if mark not in (".", "") or (key, mark) == ("thousands", ".")}
    settings = {"type": "number", "written": written}
    return ColumnProfile(**{**vars(profile), "column": {**settings, **profile.column}})


def _totals(frame: pd.DataFrame) -> int:
    """Return how many rows at the end are totals: one of their first cells says so, and no other row's does."""
    count = 0
    first = [name for name in frame.columns[:2] if frame[name].dtype.kind == "O" or str(frame[name].dtype) == "str"]
    for place in range(len(frame) - 1, max(len(frame) - 1 - MAX_TOTALS, 0), -1):
        cells = [frame[name].iloc[place] for name in first]
        if not any(isinstance(cell, str) and TOTAL.fullmatch(cell) for cell in cells):
            break
        count += 1
    body = frame.iloc[: len(frame) - count]
    again = count and any(
        body[name].map(lambda c: isinstance(c, str) and bool(TOTAL.fullmatch(c))).any() for name in first
    )
    return 0 if again else count


def _guess(path: Path, dialect: Dialect) -> tuple[Dialect, list[str]]:
    """Find title rows above the header by the first lines, unless the user has set them."""
    if dialect.skip_rows or dialect.header is False:
        return dialect, []
    suffix = table_reader.suffix(path)
    guessed = formats_by_suffix()[suffix](path, dialect, suffix).guess()
    skipped = guessed.get("skip_rows", 0)
    notes = [f"{skipped} {'line' if skipped == 1 else 'lines'} above the header: left out"] if skipped else []
    notes += [f"read from the sheet {guessed['sheet']}"] if "sheet" in guessed else []
    return dialect.model_copy(update=guessed), notes
