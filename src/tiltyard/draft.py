"""The text of a drafted task file: one line a column, with a comment of what was seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import TypeAdapter

from tiltyard.column import Column
from tiltyard.profile import Trait
from tiltyard.task import AnyColumn
from tiltyard.yaml_core import CoreDumper

SIMPLE_KEY = 1000  # characters before its colon: YAML looks no farther for it than 1024
COMMENTS = {
    "rows": "fewer or more stop the road",
    "split": "the test part is sealed at the first run",
    "gate": "what a challenger must show",
    "serve": "one instance, as a client would send it",
}


def column(seen: Trait) -> Column:
    """Give the column that a trait stands for."""
    made: Column = TypeAdapter[Column](AnyColumn).validate_python(seen.column, strict=False)
    return made


def text(
    data: str,
    content: dict[str, Any],
    traits: Iterable[Trait],
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
            lines += ["columns:", *(f"{_pair(name, value[name], '  ')}  # {_seen(by_name[name])}" for name in value)]
            left_out = [seen for name, seen in by_name.items() if seen.reason and name not in value]
            lines += [f"  # left out: {_one_line(seen.name)}: {seen.reason}" for seen in left_out]
        elif key in ("train", "serve"):
            inside = (f"{_pair(name, inner, '  ')}{_comment(name, said)}" for name, inner in value.items())
            lines += [f"{key}:{_comment(key, said)}", *inside]
        else:
            lines.append(_pair(key, value) + _comment(key, said))
    return "\n".join(lines) + "\n"


def _pair(key: str, value: Any, indent: str = "") -> str:
    """Spell a key and its value on one line; a key that YAML would not find there gets a line of its own."""
    name = _flow([key])[1:-1]
    start = f"{indent}{name}" if len(name) < SIMPLE_KEY else f"{indent}? {name}\n{indent}"
    return f"{start}: {_flow([value])[1:-1]}"


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


def _seen(seen: Trait) -> str:
    missing = f"; {seen.missing:,} missing" if seen.missing else ""
    return _one_line(seen.seen) + missing


def _comment(key: str, said: Mapping[str, str]) -> str:
    return f"  # {_one_line(said[key])}" if key in said else ""


def _one_line(words: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())
