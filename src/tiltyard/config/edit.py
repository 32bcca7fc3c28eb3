"""Edit task files: change some values and keep every other character, including comments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.overrides import Changes, apply_changes, yaml_value
from tiltyard.config.safe_yaml import BoundedLoader
from tiltyard.errors import TaskError
from tiltyard.workspace import Workspace


def set_values(workspace: Workspace, name: str, changes: Changes) -> Path:
    """Write values into a task file atomically; raise if that would change anything else."""
    path = workspace.task_file(name)
    text = path.read_text(encoding="utf-8")
    expected = apply_changes(loader.content(text, path.name), changes)
    for key, value in changes.items():
        text = _set(text, key.split("."), value)
    if loader.content(text, path.name) != expected:
        keys = ", ".join(changes)
        raise TaskError(
            f"{path.name}: {keys}: expected values of their own; they are shared by aliases or folded over lines"
        )
    loader.parse(text, name, f"tasks/{path.name}")
    files.write_text(path, text)
    return path


def _set(text: str, keys: list[str], value: Any) -> str:
    """Replace the value of one key, or add the key to the nearest section that exists."""
    node: Any = yaml.compose(text, Loader=BoundedLoader)
    for depth, key in enumerate(keys):
        inside = _child(node, key)
        if inside is None:
            for missing in reversed(keys[depth + 1 :]):
                value = {missing: value}
            return _insert_key(text, node, key, yaml_value(value))
        node = inside
    end = _end(node)
    return text[: node.start_mark.index] + yaml_value(value) + text[end:]


def _child(node: Any, key: str) -> Any:
    """Return the node at a key, or None."""
    if isinstance(node, yaml.SequenceNode):
        return node.value[int(key)]
    return next((value for name, value in node.value if name.value == key), None)


def _end(node: Any) -> int:
    """Return the position after the last character of a value: a block ends with its last value."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    index: int = node.end_mark.index
    return index


def _insert_key(text: str, section: Any, key: str, value: str) -> str:
    """Add a key after the others of a section, in the same style."""
    place = _end(section)
    if section.flow_style:
        comma = ", " if section.value else ""
        return f"{text[: place - 1].rstrip()}{comma}{key}: {value}{text[place - 1 :]}"
    indent = " " * section.value[0][0].start_mark.column
    line_end = text.find("\n", place)
    line_end = len(text) if line_end < 0 else line_end
    return f"{text[:line_end]}\n{indent}{key}: {value}{text[line_end:]}"
