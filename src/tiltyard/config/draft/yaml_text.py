"""Write a draft as YAML: one line for each column, with a comment on its values."""

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

MAX_SIMPLE_KEY = 1000  # characters: YAML allows 1024 before the colon
UNQUOTED = re.compile(r"^:|\?")  # DVC omits the quotes of such text inside brackets, which changes its meaning
COMMENTS = {
    "rows": "fewer or more stop the pipeline",
    "split": "the test rows are sealed at the first run",
    "gate": "requirements for a challenger",
    "serve": "one instance, as a client would send it",
}


def build_column(profile: ColumnProfile) -> Column:
    """Return the column for a profile."""
    column: Column = TypeAdapter[Column](AnyColumn).validate_python(profile.column, strict=False)
    return column


def task_text(
    data: str,
    content: dict[str, Any],
    profiles: Iterable[ColumnProfile],
    remarks: Iterable[str],
    comments: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the text of a task file; `comments` adds comments by key."""
    comments_by_key = {**COMMENTS, **comments}
    by_name = {profile.name: profile for profile in profiles}
    lines = [
        "# yaml-language-server: $schema=schema.json",
        f"# Drafted from {_one_line(data)} by `tiltyard init`: correct what is wrong.",
        *(f"# {_one_line(remark)}" for remark in remarks),
    ]
    for key, value in content.items():
        if key == "columns":
            lines += ["columns:", *(_pair(name, value[name], "  ", _column_comment(by_name[name])) for name in value)]
            left_out = [profile for name, profile in by_name.items() if profile.reason and name not in value]
            lines += [f"  # left out: {_one_line(profile.name)}: {profile.reason}" for profile in left_out]
        elif key in ("train", "serve"):
            inside = (_pair(name, inner, "  ", comments_by_key.get(name, "")) for name, inner in value.items())
            lines += [f"{key}:{_comment(comments_by_key.get(key, ''))}", *inside]
        else:
            lines.append(_pair(key, value, "", comments_by_key.get(key, "")))
    return "\n".join(lines) + "\n"


def _pair(key: str, value: Any, indent: str = "", comment: str = "") -> str:
    """Return a key and its value, on one line if possible; very long keys need an explicit key on its own line."""
    name = _flow([key])[1:-1]
    start = f"{indent}{name}" if len(name) < MAX_SIMPLE_KEY else f"{indent}? {name}\n{indent}"
    if not isinstance(value, (dict, list)) or _fits(value):
        return f"{start}: {_flow([value])[1:-1]}{_comment(comment)}"
    below = f"{indent}  "
    if isinstance(value, dict):
        lines = [_pair(inner, value[inner], below) for inner in value]
    else:
        lines = [f"{below}- {_flow([item])[1:-1]}" for item in value]
    return "\n".join([f"{start}:{_comment(comment)}", *lines])


def _fits(value: Any) -> bool:
    """Return whether a value can be in brackets: `dvc exp run -S` folds keys there and removes necessary quotes."""
    if isinstance(value, dict):
        return all(map(_key_fits, value)) and all(map(_fits, value.values()))
    if isinstance(value, list):
        return all(map(_fits, value))
    return not isinstance(value, str) or not UNQUOTED.search(value)


def _key_fits(key: str) -> bool:
    """Return whether a key, with its escapes, can be in brackets."""
    return " " not in key and not UNQUOTED.search(key) and len(_flow([key])) < MAX_SIMPLE_KEY


def _flow(value: list[Any]) -> str:
    """Return a list as YAML on one line."""
    text: str = yaml.dump(
        value, Dumper=_OneLine, default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False
    )
    return text.strip()


class _OneLine(CoreDumper):
    """A dumper that escapes line breaks in text, so that it stays on one line."""

    def represent_text(self, task_text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", task_text, style=None if task_text.isprintable() else '"')


_OneLine.add_representer(str, _OneLine.represent_text)


def _column_comment(profile: ColumnProfile) -> str:
    missing = f"; {profile.missing:,} missing" if profile.missing else ""
    return _one_line(profile.examples) + missing


def _comment(words: str) -> str:
    return f"  # {_one_line(words)}" if words else ""


def _one_line(words: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())
