"""Joins of a draft: fetch the joined tables, and choose prefix, comparison and treatment of rows without a match."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiltyard.config.join_section import Join
from tiltyard.data import table_reader
from tiltyard.data.formats.base import formats_by_suffix
from tiltyard.data.joins import joined_table
from tiltyard.data.joins.joined_table import FOLDER, JoinedFiles
from tiltyard.data.sources.file import File
from tiltyard.data.tables.dialect import Dialect
from tiltyard.errors import DataError, TaskError
from tiltyard.workspace import Workspace

LATEST = "latest:"  # before a column of times in --on


@dataclass(frozen=True)
class JoinRequest:
    """A table to join, and the settings of its key: `key`, `time`, or both."""

    data: str
    key: dict[str, Any]


def requests(tables: Sequence[str], keys: Sequence[str]) -> tuple[JoinRequest, ...]:
    """Return the joins of the options --join and --on; raise unless each table has its key."""
    if len(tables) != len(keys):
        raise TaskError(f"--on: expected one for each --join; received {len(keys)} for {len(tables)}")
    return tuple(JoinRequest(table, _key(text)) for table, text in zip(tables, keys, strict=True))


def _key(text: str) -> dict[str, Any]:
    """Parse a key such as shop, shop=number, shop,year or shop,latest:date=day."""
    parts = [part.strip() for part in text.split(",")]
    pairs = [_pair(part) for part in parts if not part.startswith(LATEST)]
    times = [_pair(part.removeprefix(LATEST)) for part in parts if part.startswith(LATEST)]
    if len(times) > 1 or not all(main and joined for main, joined in [*pairs, *times]):
        raise TaskError(f"--on: expected KEY, KEY=OTHER, several with commas, or latest:TIME; received {text}")
    names = [main for main, _ in pairs]
    key: object = dict(pairs) if dict(pairs) != dict(zip(names, names, strict=True)) else names
    key = names[0] if key == names and len(names) == 1 else key
    time = dict(times) if any(main != joined for main, joined in times) else next((main for main, _ in times), None)
    return {**({"key": key} if pairs else {}), **({"time": time} if time else {})}


def _pair(text: str) -> tuple[str, str]:
    main, equals, joined = text.partition("=")
    return main.strip(), joined.strip() if equals else main.strip()


def fetch(workspace: Workspace, wanted: Sequence[JoinRequest], folder: Path) -> dict[str, Join]:
    """Fetch the joined tables into a folder of raw data; return their joins: all rows are kept."""
    joins = dict[str, Join]()
    for request in wanted:
        name = _name(request.data, joins)
        inside = folder / FOLDER / name
        inside.mkdir(parents=True)
        File(kind="file", path=request.data).fetch(inside, workspace)
        path = joined_table.joined_file(folder, name)
        suffix = table_reader.suffix(path)
        read = Dialect().model_copy(update=formats_by_suffix()[suffix](path, Dialect(), suffix).guess())
        source = File(kind="file", path=request.data, read=read)
        joins[name] = Join(source=source, unmatched="missing", **request.key)
    return joins


def _name(data: str, taken: dict[str, Join]) -> str:
    """Return a name for a join by that of its file."""
    stem = Path(data).name.partition(".")[0].lower()
    name = re.sub("[^a-z0-9_]+", "_", stem).strip("_")[:40]
    name = name if re.match("[a-z]", name) else f"table_{name}".rstrip("_")
    return name if name not in taken else next(n for n in (f"{name}_{i}" for i in range(2, 99)) if n not in taken)


def settled(path: Path, dialect: Dialect, joins: dict[str, Join]) -> tuple[dict[str, Join], list[str]]:
    """Return the joins with what the tables need, and notes: a prefix, a comparison, and rows without a match."""
    chosen, notes = dict[str, Join](), list[str]()
    for name, join in joins.items():
        chosen[name], remark = _readable(path, dialect, {**chosen, name: join}, name)
        notes += [remark] if remark else []
    found = joined_table.counted(_open(path, dialect, chosen))
    for counted in found:
        if not counted.unmatched:
            chosen[counted.name] = chosen[counted.name].model_copy(update={"unmatched": "refuse"})
            notes.append(f"{counted.name}: every row has a match; one without is refused (unmatched: refuse)")
            continue
        share = f"{counted.unmatched:,} of {counted.rows:,} rows have no match"
        notes.append(f"{counted.name}: {share}, and keep missing values (unmatched: missing; drop leaves them out)")
    return chosen, notes


def _readable(path: Path, dialect: Dialect, joins: dict[str, Join], name: str) -> tuple[Join, str]:
    """Return the last join, with a prefix if names clash, and keys compared as numbers if only their types differ."""
    changes: dict[str, tuple[dict[str, Any], str]] = {
        "": ({}, ""),
        "prefix": ({"prefix": f"{name}_"}, f"{name}: its columns get a prefix, since the tables share names"),
        "match": ({"match": "number"}, f"{name}: keys are compared as numbers: 01 is 1 (match: number)"),
    }
    first: DataError | None = None
    for keys in (("",), ("prefix",), ("match",), ("prefix", "match")):
        update = {key: value for change in keys for key, value in changes[change][0].items()}
        join = joins[name].model_copy(update=update)
        try:
            _open(path, dialect, {**joins, name: join})
        except DataError as error:
            first = first or error
            continue
        return join, "; ".join(changes[change][1] for change in keys if change)
    raise first or DataError(f"joins.{name}: cannot be joined")


def _open(path: Path, dialect: Dialect, joins: dict[str, Join]) -> table_reader.TableFile:
    return joined_table.open_table(path, dialect, JoinedFiles(joins, path.parent))


def content(joins: dict[str, Join]) -> dict[str, Any]:
    """Return the section of the task file."""
    return {name: _section(join) for name, join in joins.items()}


def _section(join: Join) -> dict[str, Any]:
    settings = join.model_dump(mode="json", exclude_defaults=True)
    source = {key: value for key, value in settings.pop("source").items() if value not in (None, {})}
    read = join.source.dialect.model_dump(mode="json", exclude_none=True)
    source = {"kind": "file", **{key: value for key, value in source.items() if key not in ("kind", "read")}}
    return {"source": {**source, **({"read": read} if read else {})}, **settings}
