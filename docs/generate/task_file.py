"""The keys of a task file, from the JSON Schema by which editors and `tiltyard help` explain them."""

from __future__ import annotations

from collections.abc import Iterator

import markdown_text as markdown

from tiltyard import plugins as plugin_folders
from tiltyard.config import key_help
from tiltyard.config.key_help import KeyHelp

INTRODUCTION = """A task file, `tasks/NAME.yaml`, defines one model. Unknown keys, wrong types and values that do
not fit together are refused before anything runs. `tiltyard help KEY` prints the same text in a terminal, and
editors complete keys from `tasks/schema.json`."""
FAMILIES = """`model: {family: NAME}` chooses the network. Every family has the keys below it, and most share
further settings of layers."""
SOURCES = """`source: {kind: NAME}` says where the raw data come from. `tiltyard fetch TASK` fetches them into
`data/raw/TASK`."""
COLUMNS = """`columns:` lists the features, by name. The type of a column says how a cell is read, what a client may
send, and how it becomes numbers for the network."""
# Sections whose alternatives have a page of their own, and those that repeat another one.
ELSEWHERE = {
    "source": "sources.md",
    "columns": "columns.md",
    "model": "model-families.md",
    "ensemble.model": "model-families.md",
    "ensemble.train": "#train",
    "ensemble.train.schedule": "#trainschedule",
    "train.then.schedule": "#trainschedule",
}


def sections() -> str:
    """Return the page of all sections, without plug-ins that have their own page."""
    keys = key_help.describe("").keys
    parts = ["## Top level", _table(keys, "")]
    for key in keys:
        parts += [*_section(key.name, 2)]
    return markdown.page("The task file", INTRODUCTION, *parts)


def plugins(key: str, folder: str, title: str, introduction: str) -> str:
    """Return the page of a section whose keys are those of a plug-in."""
    found = [key_help.describe(f"{key}.{name}") for name in plugin_folders.names(folder)]
    names = [(f"[{_last(one)}](#{_last(one)})", one.meaning) for one in found]
    parts = [markdown.table(("name", "what it is"), names)]
    for one in found:
        parts += [f"## {_last(one)}", one.meaning, _table(one.keys, one.name), *_below(one, 3)]
    return markdown.page(title, introduction, *parts)


def _last(one: KeyHelp) -> str:
    return one.name.rpartition(".")[2]


def _section(key: str, level: int) -> Iterator[str]:
    """Yield heading, meaning and keys of a section, then the sections below it."""
    section = key_help.describe(key)
    if not section.keys:
        return
    yield f"{'#' * level} {key}"
    yield section.meaning
    if key in ELSEWHERE:
        yield f"See [{ELSEWHERE[key].strip('#').removesuffix('.md')}]({ELSEWHERE[key]})."
        return
    yield _table(section.keys, key)
    yield from _below(section, level + 1)


def _below(section: KeyHelp, level: int) -> Iterator[str]:
    for key in section.keys:
        yield from _section(f"{section.name}.{key.name}", min(level, 4))


def _table(keys: list[KeyHelp], above: str) -> str:
    rows = []
    for key in keys:
        path = f"{above}.{key.name}" if above else key.name
        kind = "a list of sections" if key.type == "list" and key_help.describe(path).keys else key.type
        rows.append((markdown.code(key.name), kind, _default(key), key.meaning))
    return markdown.table(("key", "type", "default", "meaning"), rows)


def _default(key: KeyHelp) -> str:
    return key.default_value if key.default_value in ("required", "optional") else markdown.code(key.default_value)
