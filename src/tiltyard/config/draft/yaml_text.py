"""The text of a drafted task file: one line a column, with a comment of what was seen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import TypeAdapter

from tiltyard.config.draft.column_profile import ColumnProfile
from tiltyard.config.safe_yaml import CoreDumper
from tiltyard.config.task import AnyColumn
from tiltyard.modeling.columns.base import Column

SIMPLE_KEY = 1000  # characters before its colon: YAML looks no farther for it than 1024
UNQUOTED = re.compile(r"^:|\?")  # what DVC writes without quotes in brackets, where it means another thing
COMMENTS = {
    "rows": "fewer or more stop the road",
    "split": "the test part is sealed at the first run",
    "gate": "what a challenger must show",
    "serve": "one instance, as a client would send it",
}


def column(seen: ColumnProfile) -> Column:
    """Return the column that a trait stands for."""
    made: Column = TypeAdapter[Column](AnyColumn).validate_python(seen.column, strict=False)
    return made


def text(
    data: str,
    content: dict[str, Any],
    traits: Iterable[ColumnProfile],
    repairs: Iterable[str],
    comments: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Spell a task file; keys may have comments of their own."""
    said = {**COMMENTS, **comments}
    by_name = {seen.name: seen for seen in traits}
    lines = [
        "# yaml-language-server: $schema=schema.json",
        f"# Drafted from {_one_line(data)} by `tiltyard init`: change what it got wrong.",
        *(f"# Read with a repair: {_one_line(repair)}" for repair in repairs),
    ]
    for key, value in content.items():
        if key == "columns":
            lines += ["columns:", *(_pair(name, value[name], "  ", _seen(by_name[name])) for name in value)]
            left_out = [seen for name, seen in by_name.items() if seen.reason and name not in value]
            lines += [f"  # left out: {_one_line(seen.name)}: {seen.reason}" for seen in left_out]
        elif key in ("train", "serve"):
            inside = (_pair(name, inner, "  ", said.get(name, "")) for name, inner in value.items())
            lines += [f"{key}:{_comment(said.get(key, ''))}", *inside]
        else:
            lines.append(_pair(key, value, "", said.get(key, "")))
    return "\n".join(lines) + "\n"


def _pair(key: str, value: Any, indent: str = "", comment: str = "") -> str:
    """Spell a key and its value on one line, or below the key; a key that YAML would not find has a line of its own."""
    name = _flow([key])[1:-1]
    start = f"{indent}{name}" if len(name) < SIMPLE_KEY else f"{indent}? {name}\n{indent}"
    if not isinstance(value, (dict, list)) or _fits(value):
        return f"{start}: {_flow([value])[1:-1]}{_comment(comment)}"
    below = f"{indent}  "
    if isinstance(value, dict):
        lines = [_pair(inner, value[inner], below) for inner in value]
    else:
        lines = [f"{below}- {_flow([item])[1:-1]}" for item in value]
    return "\n".join([f"{start}:{_comment(comment)}", *lines])


def _fits(value: Any) -> bool:
    """Return whether brackets may hold a value: `dvc exp run -S` folds keys there and takes off quotes that matter."""
    if isinstance(value, dict):
        return all(map(_key_fits, value)) and all(map(_fits, value.values()))
    if isinstance(value, list):
        return all(map(_fits, value))
    return not isinstance(value, str) or not UNQUOTED.search(value)


def _key_fits(key: str) -> bool:
    """Return whether brackets may hold a key: as it is spelled, escapes and all."""
    return " " not in key and not UNQUOTED.search(key) and len(_flow([key])) < SIMPLE_KEY


def _flow(value: list[Any]) -> str:
    """Spell a list in YAML on one line."""
    spelled: str = yaml.dump(
        value, Dumper=_OneLine, default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False
    )
    return spelled.strip()


class _OneLine(CoreDumper):
    """YAML in which text with line breaks stands on one line, escaped."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_OneLine.add_representer(str, _OneLine.represent_text)


def _seen(seen: ColumnProfile) -> str:
    missing = f"; {seen.missing:,} missing" if seen.missing else ""
    return _one_line(seen.seen) + missing


def _comment(words: str) -> str:
    return f"  # {_one_line(words)}" if words else ""


def _one_line(words: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())
